"""Formats names and amounts for people, and parses the amounts that people type."""

import math
import re
from pathlib import Path
from typing import BinaryIO

from img2img.errors import UsageError

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


def parse_memory(text: str) -> int:
    """--max-memory as bytes: "2G", "500M", "1.5GiB". As in systemd and docker, K, M, G and T are powers of 1024.

    Raises:
        UsageError: it is no such size, or none above 0.
    """
    found = re.fullmatch(r"\s*(\d+\.?\d*|\.\d+)\s*([kmgt])(?:i?b)?\s*", text, re.IGNORECASE)
    size = float(found[1]) * 1024 ** (1 + "kmgt".index(found[2].lower())) if found else 0
    if size < 1:
        raise UsageError(f"--max-memory {text}: say a number and its unit, such as 2G or 500M")
    return int(size)


_UNITS = {"s": 1, "sec": 1, "second": 1, "m": 60, "min": 60, "minute": 60, "h": 3600, "hour": 3600}


def parse_duration(text: str) -> float:
    """--budget as seconds: "90", "60s", "5min", "2h", "1h30m".

    Raises:
        UsageError: it is no such time, or none above 0.
    """
    word = text.strip().lower()
    total = math.nan
    if re.fullmatch(r"\d+\.?\d*|\.\d+", word):
        total = float(word)
    elif re.fullmatch(r"(?:(?:\d+\.?\d*|\.\d+)\s*[a-z]+\s*)+", word):
        parts = re.findall(r"([\d.]+)\s*([a-z]+)", word)
        total = sum(float(number) * _UNITS.get(unit.removesuffix("s") or "s", math.nan) for number, unit in parts)
    if not 0 < total < math.inf:
        raise UsageError(f"--budget {text}: say a time such as 60s, 5min or 2h")
    return total


def show_duration(seconds: float) -> str:
    """Seconds for a sentence: `3.2 s`, `45 s`, `12 min`, `2 h 10 min`."""
    if seconds < 90:
        return f"{round(seconds, 1):g} s" if seconds < 10 else f"{seconds:.0f} s"
    minutes = round(seconds / 60)
    return f"{minutes} min" if minutes < 90 else f"{minutes // 60} h {minutes % 60} min"


def show_memory(size: float) -> str:
    """Bytes for a person, in the units that `--max-memory` takes: 96M, 1.5G."""
    if size >= 1 << 30:
        return f"{size / (1 << 30):.1f}".removesuffix(".0") + "G"
    return f"{size / (1 << 20):.0f}M"
