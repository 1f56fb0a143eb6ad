"""SHA-256 digests of files and options. The journal uses them to detect changes. Files are streamed."""

from __future__ import annotations

import hashlib
import io
import json
import os
import time
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO, cast

# The coarsest time stamps of a common file system (FAT). A file younger than this may change again without a new time
# stamp.
_TICK = 2_000_000_000  # ns


@dataclass(frozen=True, slots=True)
class Fingerprint:
    """The digest of a file, with its size and time to detect changes without reading it.

    `mtime_ns` is None if there is no usable time (bytes from a pipe). `fresh` means that the file was so new when it
    was read that a later change may keep the same time stamp.
    """

    size: int  # bytes
    mtime_ns: int | None
    sha256: str  # 64 hexadecimal digits
    fresh: bool = False


def of_file(path: Path) -> Fingerprint:
    """Read and hash a file. The time stamp is taken before reading, so a change during the read will show.

    Raises OSError.
    """
    with path.open("rb") as stream:
        return of_stream(stream)


def of_stream(stream: BinaryIO) -> Fingerprint:
    """Hash a whole open file, from any position, and leave it at its end. For new files that have no name yet.

    Raises OSError.
    """
    if stream.writable():
        stream.flush()
    size, mtime, fresh = None, None, False
    try:
        status = os.fstat(stream.fileno())
    except io.UnsupportedOperation:  # a BytesIO
        pass
    else:
        size, mtime, fresh = status.st_size, status.st_mtime_ns, time.time_ns() - status.st_mtime_ns < _TICK
    stream.seek(0)
    sha256 = hashlib.file_digest(cast(io.BufferedReader, stream), "sha256").hexdigest()
    end = stream.seek(0, os.SEEK_END)
    return Fingerprint(end if size is None else size, mtime, sha256, fresh)


def of_bytes(data: bytes) -> Fingerprint:
    """Return the fingerprint of bytes from a pipe."""
    return Fingerprint(len(data), None, hashlib.sha256(data).hexdigest())


def of_options(options: Mapping[str, object]) -> str:
    """Return the digest of the options that affect pixels or encoding. Their order does not matter.

    Values must be JSON values; tuples and enums of strings or numbers also work. Raises TypeError or ValueError for
    others.
    """
    text = json.dumps(options, sort_keys=True, allow_nan=False, separators=(",", ":"))
    return hashlib.sha256(text.encode()).hexdigest()
