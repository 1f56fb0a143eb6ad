"""Colour spaces that a file names without an ICC profile: PNG's tags and AVIF's nclx.

The numbers are those of ITU-T H.273. A result keeps the tags if its format has them, and otherwise gets an equivalent
ICC profile.
"""

import struct
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

import numpy as np
import numpy.typing as npt

from img2img.runtime.image import icc
from img2img.runtime.image.icc import D65, SRGB_PRIMARIES, Floats, Point

Pixels = npt.NDArray[Any]

UNSPECIFIED, BT_709, SRGB, PQ, HLG = 2, 1, 13, 16, 18
_HDR = {PQ: "PQ", HLG: "HLG"}

_C: Point = (0.310, 0.316)
_P3: tuple[Point, Point, Point] = ((0.680, 0.320), (0.265, 0.690), (0.150, 0.060))
_NTSC: tuple[Point, Point, Point] = ((0.630, 0.340), (0.310, 0.595), (0.155, 0.070))
# Number -> name, red, green, blue, white.
_PRIMARIES: dict[int, tuple[str, tuple[Point, Point, Point], Point]] = {
    1: ("BT.709", SRGB_PRIMARIES, D65),
    4: ("BT.470 M", ((0.67, 0.33), (0.21, 0.71), (0.14, 0.08)), _C),
    5: ("BT.470 BG", ((0.64, 0.33), (0.29, 0.60), (0.15, 0.06)), D65),
    6: ("BT.601", _NTSC, D65),
    7: ("SMPTE 240", _NTSC, D65),
    8: ("film", ((0.681, 0.319), (0.243, 0.692), (0.145, 0.049)), _C),
    9: ("BT.2020", ((0.708, 0.292), (0.170, 0.797), (0.131, 0.046)), D65),
    11: ("DCI-P3", _P3, (0.314, 0.351)),
    12: ("Display P3", _P3, D65),
    22: ("EBU 3213", ((0.630, 0.340), (0.295, 0.605), (0.155, 0.077)), D65),
}
# Number -> linear light of encoded values. Viewers show pictures with the curves of television as sRGB.
_CURVES: dict[int, Callable[[Floats], Floats]] = {
    **dict.fromkeys((1, 6, 14, 15, SRGB), icc.srgb_light),
    4: lambda encoded: encoded**2.2,
    5: lambda encoded: encoded**2.8,
    8: lambda encoded: encoded,
}

_NAMES = {
    b"cHRM": "primaries (cHRM)",
    b"gAMA": "gamma (gAMA)",
    b"sBIT": "significant bits (sBIT)",
    b"mDCV": "mastering display (mDCV)",
    b"cLLI": "light levels (cLLI)",
}


@dataclass(frozen=True, slots=True)
class ColourTags:
    """What a file says about its colour space without an ICC profile."""

    cicp: tuple[int, int] | None = None
    """Primaries and transfer of ITU-T H.273; None if unspecified."""
    chunks: tuple[tuple[bytes, bytes], ...] = ()
    """PNG's other tags, in the order of writing: name, content."""

    @property
    def hdr(self) -> str | None:
        """The name of an HDR transfer function, "PQ" or "HLG"; None for all others."""
        return None if self.cicp is None else _HDR.get(self.cicp[1])

    def profile(self, *, grey: bool) -> bytes | None:
        """An ICC profile with the same meaning; None if that is sRGB, or no profile can have it (`known`)."""
        return _profile(self, grey) if self.known else None

    @property
    def known(self) -> bool:
        """Whether an ICC profile can describe this colour space."""
        return self.cicp is None or (self.cicp[0] in _PRIMARIES and self.cicp[1] in _CURVES)

    @property
    def space(self) -> str:
        """The colour space in words: "Display P3 (cICP 12, 13)", "gamma (gAMA)"."""
        if self.cicp is None:
            return " and ".join(_NAMES[name] for name, _ in self.chunks if name in (b"gAMA", b"cHRM"))
        primaries, transfer = self.cicp
        words = [_PRIMARIES[primaries][0] if primaries in _PRIMARIES else "", _HDR.get(transfer, "")]
        return f"{' '.join(filter(None, words)) or 'colour space'} (cICP {primaries}, {transfer})"

    @property
    def others(self) -> list[str]:
        """Names of the tags that are no part of the colour space."""
        return [_NAMES[name] for name, _ in self.chunks if name in (b"sBIT", b"mDCV", b"cLLI")]

    def for_png(self, channels: int, bits: int, *, with_icc: bool) -> list[tuple[bytes, bytes]]:
        """The chunks for a PNG with so many channels and bits."""
        found = [] if self.cicp is None else [(b"cICP", bytes((*self.cicp, 0, 1)))]
        for name, data in self.chunks:
            if name == b"sBIT":
                found.append((name, _significant_bits(data, channels, bits)))
            elif not (name == b"sRGB" and with_icc):  # only one of them is allowed
                found.append((name, data))
        return found


NO_TAGS = ColourTags()


def from_png(tags: Mapping[bytes, bytes], notes: list[str]) -> tuple[ColourTags, bool]:
    """Tags from the chunks of a PNG, and whether its pixels have narrow range. Invalid tags cost a note."""
    cicp, narrow, chunks = None, False, []
    for name, data in tags.items():
        if name == b"cICP":
            if len(data) != 4 or data[2] or data[3] > 1:
                notes.append("the tag cICP is invalid and was left out")
                continue
            cicp, narrow = (data[0], data[1]), not data[3]
        elif _valid(name, data):
            chunks.append((name, data))
        else:
            notes.append(f"the tag {name.decode()} is invalid and was left out")
    if cicp is not None and UNSPECIFIED in cicp:
        cicp = None if cicp == (UNSPECIFIED, UNSPECIFIED) else _specified(cicp)
    return ColourTags(cicp, tuple(chunks)), narrow


def from_nclx(primaries: int, transfer: int, *, with_icc: bool) -> ColourTags:
    """Tags from the numbers in an AVIF. Without an HDR transfer function, an ICC profile takes precedence."""
    cicp = _specified((primaries, transfer))
    if cicp == (BT_709, SRGB) or (with_icc and transfer not in _HDR) or max(cicp) > 255:
        return ColourTags()
    return ColourTags(cicp)


def full_range(pixels: Pixels) -> Pixels:
    """Expand narrow range (16..235 of 8 bits) to full range, rounded to nearest. uint8 or uint16, any shape."""
    unit = 1 if pixels.dtype == np.uint8 else 256
    codes = np.arange(256 * unit, dtype=np.float64)
    table = np.clip((codes - 16 * unit) / (219 * unit), 0, 1) * np.iinfo(pixels.dtype).max
    result: Pixels = np.rint(table).astype(pixels.dtype)[pixels]
    return result


def _specified(cicp: tuple[int, int]) -> tuple[int, int]:
    primaries, transfer = cicp
    return (BT_709 if primaries == UNSPECIFIED else primaries, SRGB if transfer == UNSPECIFIED else transfer)


def _valid(name: bytes, data: bytes) -> bool:
    sizes = {b"mDCV": (24,), b"cLLI": (8,), b"cHRM": (32,), b"gAMA": (4,), b"sRGB": (1,), b"sBIT": (1, 2, 3, 4)}
    if len(data) not in sizes[name]:
        return False
    if name == b"cHRM":
        try:
            icc.rgb(np.zeros(2), *_chromaticities(data))
        except ValueError:
            return False
    return name not in (b"gAMA", b"sBIT") or (any(data) if name == b"gAMA" else all(data))


def _chromaticities(data: bytes) -> tuple[tuple[Point, Point, Point], Point]:
    white_x, white_y, *rest = (value / 100_000 for value in struct.unpack(">8I", data))
    return ((rest[0], rest[1]), (rest[2], rest[3]), (rest[4], rest[5])), (white_x, white_y)


@lru_cache(maxsize=8)
def _profile(tags: ColourTags, grey: bool) -> bytes | None:
    encoded = icc.encoded_points()
    light, primaries, white = icc.srgb_light(encoded), SRGB_PRIMARIES, D65
    chunks = dict(tags.chunks)
    if tags.cicp is not None:
        light = _CURVES[tags.cicp[1]](encoded)
        _, primaries, white = _PRIMARIES[tags.cicp[0]]
    elif b"sRGB" in chunks:
        return None
    else:
        if b"gAMA" in chunks:
            gamma = 100_000 / int.from_bytes(chunks[b"gAMA"], "big")
            if abs(gamma / 2.2 - 1) > 0.02:  # 2.2 stands for sRGB
                light = encoded**gamma
        if b"cHRM" in chunks:
            primaries, white = _chromaticities(chunks[b"cHRM"])
    srgb = icc.srgb_light(encoded)
    same_curve = np.array_equal(light, srgb)
    if grey:
        return None if same_curve else icc.grey(light)
    far = np.abs(np.array((*primaries, white)) - np.array((*SRGB_PRIMARIES, D65))).max()
    return None if same_curve and far < 0.002 else icc.rgb(light, primaries, white)


def _significant_bits(data: bytes, channels: int, bits: int) -> bytes:
    colour = data if len(data) in (1, 3) else data[:-1]
    alpha = bits if len(data) in (1, 3) else data[-1]
    wanted = 3 if channels > 2 else 1
    values = list(colour) if len(colour) == wanted else [max(colour)] * wanted
    values += [alpha] * (channels - wanted)
    return bytes(min(value, bits) for value in values)
