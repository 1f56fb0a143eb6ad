"""SHA-256 of files and options, so that the journal sees what has changed. Files are streamed, not held in memory."""

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

# The coarsest clock of a file system in use (FAT). What was written this short a time ago may be written once more
# without a change of its time stamp.
_TICK = 2_000_000_000  # ns


@dataclass(frozen=True, slots=True)
class Fingerprint:
    """What a file held, and how to see without reading that it holds it still.

    `mtime_ns` is None where there is no such way (bytes from a pipe). `fresh`: so young when it was read that a later
    change may not show in its time stamp.
    """

    size: int  # bytes
    mtime_ns: int | None
    sha256: str  # 64 hexadecimal digits
    fresh: bool = False


def of_file(path: Path) -> Fingerprint:
    """Read and hash a file. One that is being changed meanwhile gets its earlier time stamp, so the change will show.

    Raises OSError.
    """
    with path.open("rb") as stream:
        return of_stream(stream)


def of_stream(stream: BinaryIO) -> Fingerprint:
    """Hash all of an open file, wherever it stands (at its end afterwards): one just written, before it gets its name.

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
    """The fingerprint of what came through a pipe."""
    return Fingerprint(len(data), None, hashlib.sha256(data).hexdigest())


def of_options(options: Mapping[str, object]) -> str:
    """The digest of what changes pixels or encoding: the same for the same values, in whatever order they come.

    Values are those of JSON (enums of texts and numbers, tuples too). Raises TypeError or ValueError for others.
    """
    text = json.dumps(options, sort_keys=True, allow_nan=False, separators=(",", ":"))
    return hashlib.sha256(text.encode()).hexdigest()
