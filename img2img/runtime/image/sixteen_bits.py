"""Decodes 16 bits per channel with Pillow, whose only 16-bit mode is grey.

Pillow's decoders do the work (interlacing, filters, LZW, predictors, tiles) but keep one byte of each sample: the first
if the raw mode says big-endian, the second if it says little-endian. The file is therefore decoded twice, once with
each byte order, and the two bytes are combined. Two channels need one decoding only: their four bytes per pixel are
decoded as RGBA.
"""

import sys
from collections.abc import Callable
from typing import Any

import numpy as np
import numpy.typing as npt
from PIL import ImageFile

Pixels = npt.NDArray[Any]

NATIVE = "L" if sys.byteorder == "little" else "B"


def raw_mode(image: ImageFile.ImageFile) -> str:
    """Pillow's name for the layout of the samples in the file ("RGB;16B"); "" after decoding."""
    if not image.tile:
        return ""
    args = image.tile[0][3]
    return args if isinstance(args, str) else str(args[0]) if args else ""


def has_sixteen_bits(image: ImageFile.ImageFile) -> bool:
    """Whether an undecoded PNG or TIFF has 16-bit samples that plain decoding would reduce to 8 bits."""
    return raw_mode(image).rpartition(";")[2] in ("16B", "16L", "16N") and not image.mode.startswith("I")


def decode(image: ImageFile.ImageFile, again: Callable[[], ImageFile.ImageFile]) -> tuple[Pixels, bool]:
    """Decode 16-bit samples. Returns uint16 [H, W, C], and whether alpha is premultiplied.

    C is 2 (grey, alpha), 3 (RGB) or 4 (RGB, alpha). `again` opens the same file once more.
    """
    base, _, order = raw_mode(image).partition(";16")
    if base == "LA":
        return decode_pairs(image, order == "B"), False
    premultiplied = base == "RGBa"
    base = "RGBA" if premultiplied else base
    first = NATIVE if order == "N" else order
    high = _plane(image, f"{base};16{first}")
    low = _plane(again(), f"{base};16{'L' if first == 'B' else 'B'}")
    result = high.astype(np.uint16)
    del high
    result <<= 8
    result |= low
    return result, premultiplied


def unpremultiply(colour: Pixels, alpha: Pixels) -> Pixels:
    """Convert premultiplied uint16 colour [H, W, C] with alpha [H, W] to straight colour; 0 where alpha is 0."""
    divisor = np.maximum(alpha, 1).astype(np.uint32)[..., None]
    straight = colour.astype(np.uint32)
    straight *= 65535  # still below 2**32 after half the divisor is added
    straight += divisor // 2
    straight //= divisor
    straight[alpha == 0] = 0
    return np.minimum(straight, 65535).astype(np.uint16)


def _plane(image: ImageFile.ImageFile, mode: str) -> Pixels:
    image.tile = [_with_raw_mode(tile, mode) for tile in image.tile]
    image.load()
    return np.asarray(image)


def decode_pairs(image: ImageFile.ImageFile, big_endian: bool) -> Pixels:
    """Decode a picture with two 16-bit channels in the given byte order: uint16 [H, W, 2]."""
    image.tile = [_with_raw_mode(tile, "RGBA") for tile in image.tile]
    image._mode = "RGBA"
    image.load()
    return np.array(image).view(">u2" if big_endian else "<u2").astype(np.uint16)


def _with_raw_mode(tile: Any, mode: str) -> Any:
    codec, extents, offset, args = tile
    return type(tile)(codec, extents, offset, mode if isinstance(args, str) else (mode, *args[1:]))
