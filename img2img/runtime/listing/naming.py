"""How a file is called when it is spoken of to a person."""

import re
from pathlib import Path
from typing import BinaryIO

# Control characters, ends of lines and paragraphs, what turns the direction of writing round, and lone surrogates.
_UNPRINTABLE = re.compile("[\x00-\x1f\x7f-\x9f\u061c\u200e\u200f\u2028-\u202e\u2066-\u2069\ud800-\udfff]")


def show(text: str | Path) -> str:
    """`text` on one line and printable anywhere: control characters and bytes that are no UTF-8 are escaped."""

    def escape(match: re.Match[str]) -> str:
        code = ord(match.group())
        if 0xDC80 <= code <= 0xDCFF:  # how Python carries a byte that is no UTF-8 (PEP 383)
            code -= 0xDC00
        known = {9: r"\t", 10: r"\n", 13: r"\r"}
        return known.get(code) or (f"\\x{code:02x}" if code < 0x100 else f"\\u{code:04x}")

    return _UNPRINTABLE.sub(escape, str(text))


def shown(source: Path | BinaryIO, stream: str = "standard input") -> str:
    """`source` as `show` names it; `stream` is what a stream is called."""
    return show(source) if isinstance(source, Path) else stream
