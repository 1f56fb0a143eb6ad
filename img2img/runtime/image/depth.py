"""Reduces pictures to 8 bits, and composites alpha over white, for formats that need it. Works in bands of rows."""

from typing import Any

import numpy as np
import numpy.typing as npt

Pixels = npt.NDArray[Any]

BAND_ROWS = 256


def to_8_bits(pixels: Pixels) -> Pixels:
    """Convert uint16 [H, ...] to uint8: x * 255 / 65535, rounded to nearest (this is x / 257, so there are no ties)."""
    result = np.empty(pixels.shape, np.uint8)
    for top in range(0, len(pixels), BAND_ROWS):
        band = pixels[top : top + BAND_ROWS].astype(np.uint32)
        band += 128
        band //= 257
        result[top : top + BAND_ROWS] = band
    return result


def over_white(colour: Pixels, alpha: Pixels) -> Pixels:
    """Composite uint8 or uint16 [H, W, C] over white by alpha [H, W]; rounded to nearest, of the same type."""
    white = int(np.iinfo(colour.dtype).max)
    result = np.empty_like(colour)
    for top in range(0, len(colour), BAND_ROWS):
        rows = slice(top, top + BAND_ROWS)
        weight = alpha[rows, :, None].astype(np.uint32)
        band = colour[rows] * weight + np.uint32(white) * (np.uint32(white) - weight)  # at most 65535 ** 2
        result[rows] = (band + np.uint32(white // 2)) // np.uint32(white)
    return result
