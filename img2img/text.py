"""Formats names and amounts for messages, and parses the amounts that users type."""

import math
import re
import unicodedata
from pathlib import Path
from typing import BinaryIO

from img2img.errors import UsageError

# Control characters (C0, C1), soft hyphens, line and paragraph separators, characters that change the writing direction
# or are invisible, lone surrogates, and tags.
_UNPRINTABLE = re.compile(
    "[\x00-\x1f\x7f-\x9f\xad\u061c\u200b\u200e\u200f\u2028-\u202e\u2060-\u206f\ud800-\udfff\ufeff\ufff9-\ufffb"
    "\U000e0000-\U000e007f]"
)


def show(text: object) -> str:
    """A text or a name on one line, printable anywhere: escapes control characters and bytes that are no UTF-8."""

    def escape(match: re.Match[str]) -> str:
        code = ord(match.group())
        if 0xDC80 <= code <= 0xDCFF:  # Python's encoding of a byte that is not UTF-8 (PEP 383)
            code -= 0xDC00
        known = {9: r"\t", 10: r"\n", 13: r"\r"}
        return known.get(code) or (
            f"\\x{code:02x}" if code < 0x100 else f"\\u{code:04x}" if code < 0x10000 else f"\\U{code:08x}"
        )

    return _UNPRINTABLE.sub(escape, str(text))


def shown(source: Path | BinaryIO, stream: str = "standard input") -> str:
    """The name of `source` for messages: its path in printable form, or `stream` if it is a stream."""
    return show(source) if isinstance(source, Path) else stream


def nfc(name: str) -> str:
    """A name with its accents composed. Equal results: the names look the same, and macOS takes them for the same."""
    return name if name.isascii() else unicodedata.normalize("NFC", name)


def count_of(count: int, noun: str, plural: str | None = None) -> str:
    """A number with its noun: `1 picture`, `3 pictures`. `plural` is for nouns that do not just add an s."""
    return f"{count} {noun if count == 1 else plural or noun + 's'}"


def parse_memory(text: str, option: str = "--max-memory") -> int:
    """Parse the size given for `option`: "2G", "500M", "1.5GiB". Returns bytes. As in systemd and docker, K, M, G and T
    are powers of 1024.

    Raises:
        UsageError: the text is not a size greater than 0.
    """
    found = re.fullmatch(r"\s*(\d+\.?\d*|\.\d+)\s*([kmgt])(?:i?b)?\s*", text, re.IGNORECASE)
    size = float(found[1]) * 1024 ** (1 + "kmgt".index(found[2].lower())) if found else 0
    if size < 1:
        raise UsageError(f"{option} {text}: use a number with a unit, such as 2G or 500M")
    return int(size)


def parse_side(text: str, option: str, others: str) -> int:
    """Parse a side in pixels, given for `option`. `others`: further values of the option, for the message.

    Raises:
        UsageError: the text is not a whole number greater than 0.
    """
    try:
        side = int(text)
    except ValueError:
        side = 0
    if side < 1:
        raise UsageError(f"{option} {text}: use {others}, or a side in pixels such as 256")
    return side


_UNITS = {"s": 1, "sec": 1, "second": 1, "m": 60, "min": 60, "minute": 60, "h": 3600, "hour": 3600}


def parse_duration(text: str, option: str = "--budget") -> float:
    """Parse the time given for `option`: "90", "60s", "5min", "2h", "1h30m". Returns seconds.

    Raises:
        UsageError: the text is not a time greater than 0.
    """
    word = text.strip().lower()
    total = math.nan
    if re.fullmatch(r"\d+\.?\d*|\.\d+", word):
        total = float(word)
    elif re.fullmatch(r"(?:(?:\d+\.?\d*|\.\d+)\s*[a-z]+\s*)+", word):
        parts = re.findall(r"([\d.]+)\s*([a-z]+)", word)
        total = sum(float(number) * _UNITS.get(unit.removesuffix("s") or "s", math.nan) for number, unit in parts)
    if not 0 < total < math.inf:
        raise UsageError(f"{option} {text}: use a time such as 60s, 5min or 2h")
    return total


def show_duration(seconds: float) -> str:
    """Format seconds for a sentence: `3.2 s`, `45 s`, `12 min`, `2 h 10 min`."""
    if seconds < 90:
        return f"{round(seconds, 1):g} s" if seconds < 10 else f"{seconds:.0f} s"
    minutes = round(seconds / 60)
    return f"{minutes} min" if minutes < 90 else f"{minutes // 60} h {minutes % 60} min"


def show_memory(size: float) -> str:
    """Format bytes in the units of `--max-memory`: 640K, 96M, 1.5G."""
    if size >= 1 << 30:
        return f"{size / (1 << 30):.1f}".removesuffix(".0") + "G"
    if size >= 1 << 20:
        return f"{size / (1 << 20):.0f}M"
    return f"{math.ceil(size / 1024)}K"
