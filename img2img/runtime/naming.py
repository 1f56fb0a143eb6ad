"""How a file is called when it is spoken of to a person."""

from pathlib import Path
from typing import BinaryIO


def shown(source: Path | BinaryIO, stream: str = "standard input") -> str:
    """One printable line that names a file; `stream` is what a stream is called.

    File names may hold line feeds, terminal escapes and bytes that are no text, which no terminal should be sent.
    """
    if not isinstance(source, Path):
        return stream
    return "".join(letter if letter.isprintable() else "?" for letter in str(source))
