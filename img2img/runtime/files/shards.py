"""Splits a list of pictures among machines: --shard N/OF."""

from __future__ import annotations

import hashlib
import os
import re
from collections.abc import Iterable, Sequence
from pathlib import Path, PurePath

from img2img.errors import UsageError
from img2img.runtime.files.source import Source
from img2img.runtime.files.storage_uri import Location, StorageFile, relative_to
from img2img.text import nfc, show


def parse_shard(text: str) -> tuple[int, int]:
    """`3/16` -> (3, 16): the third of sixteen. Raises UsageError for all else."""
    match = re.fullmatch(r"([0-9]{1,9})/([0-9]{1,9})", text.strip())
    part, of = (int(match[1]), int(match[2])) if match else (0, 0)
    if not 1 <= part <= of:
        raise UsageError(f"--shard {show(text)}: use N/TOTAL, such as 1/4 for the first of four parts")
    return part, of


def shard(sources: Sequence[Source], part: int, of: int) -> list[Source]:
    """The sources, in their order, that belong to machine `part` (from 1) of `of`.

    Each source belongs to exactly one part. A hash of its name decides which one, so that a file keeps its part when
    the list grows, shrinks or changes its order; the parts are as even as chance makes them. The name is the path below
    the folder that the user named (below the parent that all such folders share), or the relative path that the user
    gave, so machines may mount the files in different places. For absolute paths of single files the name is the path
    below the parent that they all share; only files outside it, added later, change the parts of the others.
    """
    return [source for source, owner in zip(sources, owners(sources, of), strict=True) if owner == part]


def owners(sources: Sequence[Source], of: int) -> list[int]:
    """For each source the part, 1 to `of`, that `shard` gives it to."""
    roots = {source.root for source in sources if source.root is not None}
    shared_root = _shared(_absolute(root) for root in roots)
    below = {root: _below(_absolute(root), shared_root) for root in roots}
    parents = {_path(source.path).parent for source in sources if source.root is None and source.path is not None}
    shared_parent = _shared(str(parent) for parent in parents if parent.is_absolute())

    def name(source: Source) -> str:
        if source.path is None:
            return "-"
        if source.root is not None:
            return (below[source.root] / relative_to(source.path, source.root)).as_posix()
        path = _path(source.path)
        return (_below(str(path), shared_parent) if path.is_absolute() else path).as_posix()

    return [_hash(name(source)) % of + 1 for source in sources]


def _path(location: Location) -> Path:
    """A URI as an absolute path, so that shards treat both alike."""
    if isinstance(location, StorageFile):
        return Path("/", location.scheme, location.bucket, location.path)
    return location


def _absolute(location: Location) -> str:
    return os.path.abspath(_path(location))  # noqa: PTH100 - links stay as they are


def _shared(folders: Iterable[str]) -> str:
    try:
        return os.path.commonpath(list(folders))
    except ValueError:  # none, or several drives
        return ""


def _below(path: str, folder: str) -> PurePath:
    return Path(path).relative_to(folder) if folder else Path(path)


def _hash(name: str) -> int:
    """The same on every machine: one spelling of accents, whatever the file system keeps."""
    raw = nfc(name).encode(errors="surrogatepass")
    return int.from_bytes(hashlib.blake2b(raw, digest_size=8).digest(), "big")
