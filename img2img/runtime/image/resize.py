"""Lanczos resampling, antialiased when it shrinks, at the picture's own depth."""

from typing import Any

import numpy as np
import numpy.typing as npt
from PIL import Image

Pixels = npt.NDArray[Any]


def lanczos(plane: Pixels, size: tuple[int, int]) -> Pixels:
    """Resize to `size` = (width, height) with Pillow's Lanczos filter (a = 3, widened when shrinking).

    plane: uint8 or uint16, [H, W] or [H, W, C]; returns the same type and number of dimensions. Overshoot is clamped to
    the type's range, values are rounded. An unchanged size returns `plane` itself. Alpha is not looked at: premultiply,
    or bleed, beforehand.
    """
    width, height = size
    if plane.shape[:2] == (height, width):
        return plane
    if plane.ndim == 2:
        return _one(plane, size)
    if plane.dtype == np.uint8 and plane.shape[2] == 3:
        return np.asarray(Image.fromarray(plane).resize(size, Image.Resampling.LANCZOS))
    result = np.empty((height, width, plane.shape[2]), plane.dtype)
    for channel in range(plane.shape[2]):
        result[..., channel] = _one(plane[..., channel], size)
    return result


def _one(plane: Pixels, size: tuple[int, int]) -> Pixels:
    if plane.dtype == np.uint8:
        return np.asarray(Image.fromarray(np.ascontiguousarray(plane)).resize(size, Image.Resampling.LANCZOS))
    # Pillow resamples 16-bit integers byte by byte in some versions; 24 bits of a float lose nothing of 16.
    resized = np.array(Image.fromarray(plane.astype(np.float32)).resize(size, Image.Resampling.LANCZOS))
    np.clip(np.rint(resized, out=resized), 0, np.iinfo(plane.dtype).max, out=resized)
    return resized.astype(plane.dtype)
