"""A weighted mean of two pictures, at their own depth."""

from typing import Any

import numpy as np
import numpy.typing as npt

from img2img.errors import UsageError
from img2img.runtime.image.depth import BAND_ROWS

Pixels = npt.NDArray[Any]
Floats = npt.NDArray[np.float32]


def mixed(old: Pixels, new: Pixels, share: float | Floats) -> Pixels:
    """`old` where `share` is 0, `new` where it is 1, their weighted mean between, rounded to nearest.

    old, new: uint8 or uint16 [H, W, C]; share: one number, or float32 [H, W].
    """
    if isinstance(share, float | int):
        if share in (0, 1):
            return new if share else old
        share = np.broadcast_to(np.float32(share), old.shape[:2])
    result = np.empty_like(old)
    for top in range(0, len(old), BAND_ROWS):
        rows = slice(top, top + BAND_ROWS)
        before = old[rows].astype(np.float32)
        # 24 bits of a float32 hold the product of 16 bits with what a person can mean by a share.
        result[rows] = np.rint(before + (new[rows] - before) * share[rows, :, None])
    return result


def check_strength(strength: float) -> None:
    """Raise UsageError unless `strength` is a number from 0 to 1."""
    if not 0 <= strength <= 1:  # NaN is not
        raise UsageError(f"strength must be a number from 0 (the input) to 1 (the result), not {strength:g}")
