"""Lists of files to work on: --files-from."""

from __future__ import annotations

import codecs
import os
from collections.abc import Sequence
from pathlib import Path
from typing import BinaryIO

from img2img.errors import UsageError
from img2img.text import show


def read(where: str, *, null: bool, stdin: BinaryIO, inputs: Sequence[str] = ()) -> list[str]:
    r"""The names in the list `where` (a file, or `-` for `stdin`), in its order: relative to the current folder.

    One name a line, `\n` or `\r\n` at its end; all else is part of the name, spaces and `#` as well. With `null` each
    name ends in a NUL byte, as `find -print0` writes them, and may hold line feeds. A byte order mark is passed over,
    and so are empty names. Bytes that are no UTF-8 stay what they are (PEP 383). `inputs` is what was named beside the
    list, where `-` is a picture.

    Raises UsageError where the list cannot be read, is no text, or stdin would have to be both list and picture.
    """
    called = "the list on stdin" if where == "-" else show(where)
    if where == "-" and "-" in inputs:
        raise UsageError("stdin cannot be a picture (-) and the list (--files-from -) at once: keep the list in a file")
    try:
        data = stdin.read() if where == "-" else Path(where).read_bytes()
    except OSError as error:
        reason = "no such list" if isinstance(error, FileNotFoundError) else error.strerror or str(error)
        raise UsageError(f"--files-from {called}: {reason}") from error
    try:
        return _split(data, null=null)
    except UnicodeError as error:
        raise UsageError(f"--files-from {called}: it cannot be decoded: {error}") from error
    except ValueError as error:
        raise UsageError(f"--files-from {called}: {error}") from error


def _split(data: bytes, *, null: bool) -> list[str]:
    if not null and data.startswith((codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)):  # `>` in Windows PowerShell 5
        data = data.decode("utf-16").encode(errors="surrogatepass")
    data = data.removeprefix(codecs.BOM_UTF8)
    if null:
        return [os.fsdecode(name) for name in data.split(b"\0") if name]
    if b"\0" in data:
        raise ValueError("it holds NUL bytes: say -0 where names end in them")
    lines = (line.removesuffix(b"\r") for line in data.split(b"\n"))
    return [os.fsdecode(line) for line in lines if line]
