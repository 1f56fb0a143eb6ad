"""Resizes pictures with a Lanczos filter, at their own bit depth. Antialiases when shrinking."""

from typing import Any

import numpy as np
import numpy.typing as npt
from PIL import Image

Pixels = npt.NDArray[Any]


def lanczos(plane: Pixels, size: tuple[int, int]) -> Pixels:
    """Resize to `size` = (width, height) with Pillow's Lanczos filter (a = 3, widened when shrinking).

    plane: uint8 or uint16, [H, W] or [H, W, C]. Returns the same type and number of dimensions. Values are rounded, and
    overshoot is clamped to the range of the type. If the size does not change, `plane` itself is returned. Alpha is
    ignored: premultiply or bleed first.
    """
    width, height = size
    if plane.shape[:2] == (height, width):
        return plane
    if plane.ndim == 2:
        return _resize_channel(plane, size)
    if plane.dtype == np.uint8 and plane.shape[2] == 3:
        return np.asarray(Image.fromarray(plane).resize(size, Image.Resampling.LANCZOS))
    result = np.empty((height, width, plane.shape[2]), plane.dtype)
    for channel in range(plane.shape[2]):
        result[..., channel] = _resize_channel(plane[..., channel], size)
    return result


def _resize_channel(plane: Pixels, size: tuple[int, int]) -> Pixels:
    if plane.dtype == np.uint8:
        return np.asarray(Image.fromarray(np.ascontiguousarray(plane)).resize(size, Image.Resampling.LANCZOS))
    # Some versions of Pillow resample 16-bit integers byte by byte. The 24 bits of a float are exact for 16-bit values.
    resized = np.array(Image.fromarray(plane.astype(np.float32)).resize(size, Image.Resampling.LANCZOS))
    np.clip(np.rint(resized, out=resized), 0, np.iinfo(plane.dtype).max, out=resized)
    return resized.astype(plane.dtype)
