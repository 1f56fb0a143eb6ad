"""Reads lists of input files for --files-from."""

from __future__ import annotations

import codecs
import os
from collections.abc import Sequence
from pathlib import Path
from typing import BinaryIO

from img2img.errors import UsageError
from img2img.text import show


def read(where: str, *, null: bool, stdin: BinaryIO, inputs: Sequence[str] = ()) -> list[str]:
    r"""Read the names in the list `where`, in order. `where` is a file, or `-` for `stdin`.

    Names are relative to the current folder. Each line holds one name and ends in `\n` or `\r\n`. All other characters
    belong to the name, including spaces and `#`. With `null`, each name ends in a NUL byte, as `find -print0` does,
    and may contain line feeds. A byte order mark and empty names are ignored. Bytes that are not UTF-8 are kept (PEP
    383). `inputs` are the other inputs of the command; in them, `-` is a picture.

    Raises UsageError if the list cannot be read, is not text, or stdin would be both the list and a picture.
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
    if not null and data.startswith((codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)):  # from `>` in Windows PowerShell 5
        data = data.decode("utf-16").encode(errors="surrogatepass")
    data = data.removeprefix(codecs.BOM_UTF8)
    if null:
        return [os.fsdecode(name) for name in data.split(b"\0") if name]
    if b"\0" in data:
        raise ValueError("it holds NUL bytes: say -0 where names end in them")
    lines = (line.removesuffix(b"\r") for line in data.split(b"\n"))
    return [os.fsdecode(line) for line in lines if line]
