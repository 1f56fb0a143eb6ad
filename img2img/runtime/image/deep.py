"""16 bits per channel out of Pillow, which has no 16-bit mode but grey.

Its decoders do the work (interlacing, filters, LZW, predictors, tiles) and keep one byte of each sample: the first
where the raw mode says big-endian, the second where it says little-endian. So the file is decoded twice, once with
each, and the halves are put together. Two channels need one decoding: their four bytes a pixel pass through as RGBA.
"""

import sys
from collections.abc import Callable
from typing import Any

import numpy as np
import numpy.typing as npt
from PIL import ImageFile

Pixels = npt.NDArray[Any]

NATIVE = "L" if sys.byteorder == "little" else "B"


def rawmode(image: ImageFile.ImageFile) -> str:
    """How the samples lie in the file, in Pillow's words ("RGB;16B"); "" after decoding."""
    if not image.tile:
        return ""
    args = image.tile[0][3]
    return args if isinstance(args, str) else str(args[0]) if args else ""


def is_deep(image: ImageFile.ImageFile) -> bool:
    """Whether an undecoded PNG or TIFF has 16-bit samples that decoding it plainly would cut to 8 bits."""
    return rawmode(image).rpartition(";")[2] in ("16B", "16L", "16N") and not image.mode.startswith("I")


def decode(image: ImageFile.ImageFile, again: Callable[[], ImageFile.ImageFile]) -> tuple[Pixels, bool]:
    """Decode at full depth: uint16 [H, W, C], and whether its alpha is premultiplied.

    C is 2 (grey, alpha), 3 or 4 (RGB, alpha). `again` opens the same file once more.
    """
    base, _, order = rawmode(image).partition(";16")
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
    """Straight colour from uint16 premultiplied colour [H, W, C] and alpha [H, W]; 0 where alpha is 0."""
    divisor = np.maximum(alpha, 1).astype(np.uint32)[..., None]
    straight = colour.astype(np.uint32)
    straight *= 65535  # with half the divisor added, still below 2**32
    straight += divisor // 2
    straight //= divisor
    straight[alpha == 0] = 0
    return np.minimum(straight, 65535).astype(np.uint16)


def _plane(image: ImageFile.ImageFile, mode: str) -> Pixels:
    image.tile = [_with_rawmode(tile, mode) for tile in image.tile]
    image.load()
    return np.asarray(image)


def decode_pairs(image: ImageFile.ImageFile, big_endian: bool) -> Pixels:
    """Decode a picture of two 16-bit channels that lie in the given byte order: uint16 [H, W, 2]."""
    image.tile = [_with_rawmode(tile, "RGBA") for tile in image.tile]
    image._mode = "RGBA"
    image.load()
    return np.array(image).view(">u2" if big_endian else "<u2").astype(np.uint16)


def _with_rawmode(tile: Any, mode: str) -> Any:
    codec, extents, offset, args = tile
    return type(tile)(codec, extents, offset, mode if isinstance(args, str) else (mode, *args[1:]))
