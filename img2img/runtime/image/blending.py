"""Blends two pictures at their own bit depth."""

from typing import Any

import numpy as np
import numpy.typing as npt

from img2img.errors import UsageError
from img2img.runtime.image.depth import BAND_ROWS

Pixels = npt.NDArray[Any]
Floats = npt.NDArray[np.float32]


def check_strength(strength: float) -> None:
    """Raise UsageError unless `strength` is a number from 0 to 1."""
    if not 0 <= strength <= 1:  # also true for NaN
        raise UsageError(f"strength must be a number from 0 (the input) to 1 (the result), not {strength:g}")


def blend(old: Pixels, new: Pixels, weight: float | Floats) -> Pixels:
    """`old` where `weight` is 0, `new` where it is 1, and their weighted mean in between, rounded to nearest.

    old, new: uint8 or uint16 [H, W, C]; weight: one number, or float32 [H, W].
    """
    if isinstance(weight, float | int):
        if weight in (0, 1):
            return new if weight else old
        weight = np.broadcast_to(np.float32(weight), old.shape[:2])
    result = np.empty_like(old)
    for top in range(0, len(old), BAND_ROWS):
        rows = slice(top, top + BAND_ROWS)
        before = old[rows].astype(np.float32)
        # The 24 bits of a float32 are precise enough for 16-bit values times a weight.
        result[rows] = np.rint(before + (new[rows] - before) * weight[rows, :, None])
    return result
