"""Reads lists of input files for --files-from."""

from __future__ import annotations

import codecs
import os
from collections.abc import Sequence
from contextlib import nullcontext
from pathlib import Path
from typing import BinaryIO

from img2img.errors import UsageError
from img2img.text import show

MAX_BYTES = 64 << 20  # of a list, by default: a million long names
_CHUNK = 1 << 20
_USUAL_NAME = 16  # bytes; a list of shorter names is no list of files


def read(where: str, *, null: bool, stdin: BinaryIO, inputs: Sequence[str] = (), limit: int = MAX_BYTES) -> list[str]:
    r"""Read the names in the list `where`, in order. `where` is a file, or `-` for `stdin`.

    Names are relative to the current folder. Each line holds one name and ends in `\n` or `\r\n`. All other characters
    belong to the name, including spaces and `#`. With `null`, each name ends in a NUL byte, as `find -print0` does,
    and may contain line feeds. A byte order mark and empty names are ignored. Bytes that are not UTF-8 are kept (PEP
    383). `inputs` are the other inputs of the command; in them, `-` is a picture.

    Raises UsageError if the list cannot be read, is not text, or has more than `limit` bytes, or if stdin would be both
    the list and a picture.
    """
    called = "the list on stdin" if where == "-" else show(where)
    if where == "-" and "-" in inputs:
        raise UsageError("stdin cannot be a picture (-) and the list (--files-from -) at once: keep the list in a file")
    try:
        with nullcontext(stdin) if where == "-" else Path(where).open("rb") as stream:
            data = read_stream(stream, limit, f"--files-from {called}")
    except OSError as error:
        reason = "no such list" if isinstance(error, FileNotFoundError) else error.strerror or str(error)
        raise UsageError(f"--files-from {called}: {reason}") from error
    try:
        if data.count(b"\0" if null else b"\n") > limit // _USUAL_NAME:
            raise UsageError(f"--files-from {called}: it has too many names; raise the limit with --max-bytes")
        return _split(data, null=null)
    except MemoryError as error:
        raise UsageError(f"--files-from {called}: not enough memory for the names; split the list") from error
    except UnicodeError as error:
        raise UsageError(f"--files-from {called}: it cannot be decoded: {error}") from error
    except ValueError as error:
        raise UsageError(f"--files-from {called}: {error}") from error


def read_stream(stream: BinaryIO, limit: int, called: str) -> bytes:
    """Read a stream to its end. It may be endless, so no more than `limit` bytes are read.

    Raises UsageError if there are more bytes or too little memory, or if reading fails. `called` begins the message.
    """
    parts: list[bytes] = []
    try:
        while limit >= 0 and (part := stream.read(min(_CHUNK, limit + 1))):
            parts.append(part)
            limit -= len(part)
        if limit < 0:
            raise UsageError(f"{called}: it has more bytes than allowed; raise the limit with --max-bytes")
        return b"".join(parts)
    except MemoryError as error:
        raise UsageError(f"{called}: not enough memory to read it") from error
    except OSError as error:
        raise UsageError(f"{called}: cannot be read: {error.strerror or error}") from error


def _split(data: bytes, *, null: bool) -> list[str]:
    if not null and data.startswith((codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)):  # from `>` in Windows PowerShell 5
        data = data.decode("utf-16").encode(errors="surrogatepass")
    data = data.removeprefix(codecs.BOM_UTF8)
    if null:
        return [os.fsdecode(name) for name in data.split(b"\0") if name]
    if b"\0" in data:
        raise ValueError("it holds NUL bytes: say -0 where names end in them")
    lines = (line.removesuffix(b"\r") for line in data.split(b"\n"))
    return [os.fsdecode(line) for line in lines if line]
