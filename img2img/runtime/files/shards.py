"""Splits a list of pictures among machines: --shard N/OF."""

from __future__ import annotations

import hashlib
import os
import re
import unicodedata
from collections.abc import Iterable, Sequence
from pathlib import Path

from img2img.errors import UsageError
from img2img.runtime.files.source import Source
from img2img.text import show


def parse_shard(text: str) -> tuple[int, int]:
    """`3/16` -> (3, 16): the third of sixteen. Raises UsageError for all else."""
    match = re.fullmatch(r"([0-9]{1,9})/([0-9]{1,9})", text.strip())
    part, of = (int(match[1]), int(match[2])) if match else (0, 0)
    if not 1 <= part <= of:
        raise UsageError(f"--shard {show(text)}: say which part of how many, from 1/4 to 4/4")
    return part, of


def shard(sources: Sequence[Source], part: int, of: int) -> list[Source]:
    """The sources, in their order, that are the share of machine `part` (from 1) of `of`.

    Each source belongs to exactly one part. Which one follows from a hash of its name alone, so that a list that has
    grown, shrunk or another order gives no file to another part; the parts are as even as chance makes them. The name
    is the path below the folder that was named (below what all such folders share), or the relative path that was
    given, so it does not matter where a machine has mounted the files. Of absolute paths of single files it is what
    lies below the folder that they all share: only files outside that folder, added later, deal such a list anew.
    """
    return [source for source, owner in zip(sources, owners(sources, of), strict=True) if owner == part]


def owners(sources: Sequence[Source], of: int) -> list[int]:
    """For each source the part, 1 to `of`, that `shard` gives it to."""
    roots = {source.root for source in sources if source.root is not None}
    shared_root = _shared(_absolute(root) for root in roots)
    below = {root: _below(_absolute(root), shared_root) for root in roots}
    single = {str(source.path.parent) for source in sources if _is_single(source) and source.path is not None}
    shared_parent = _shared(single)

    def name(source: Source) -> str:
        if source.path is None:
            return "-"
        if source.root is not None:
            return (below[source.root] / source.path.relative_to(source.root)).as_posix()
        return (_below(str(source.path), shared_parent) if source.path.is_absolute() else source.path).as_posix()

    return [_hash(name(source)) % of + 1 for source in sources]


def _is_single(source: Source) -> bool:
    return source.root is None and source.path is not None and source.path.is_absolute()


def _absolute(path: Path) -> str:
    return os.path.abspath(path)  # noqa: PTH100 (links stay as they are)


def _shared(folders: Iterable[str]) -> str:
    try:
        return os.path.commonpath(list(folders))
    except ValueError:  # none, or several drives
        return ""


def _below(path: str, folder: str) -> Path:
    return Path(path).relative_to(folder) if folder else Path(path)


def _hash(name: str) -> int:
    """The same on every machine: one spelling of accents, whatever the file system keeps."""
    raw = unicodedata.normalize("NFC", name).encode(errors="surrogatepass")
    return int.from_bytes(hashlib.blake2b(raw, digest_size=8).digest(), "big")
