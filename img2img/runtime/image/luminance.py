"""Combines the luminance of a picture with the chroma of a smaller copy."""

from typing import Any

import numpy as np
import numpy.typing as npt
from PIL import Image

Pixels = npt.NDArray[Any]  # uint8 or uint16 [H, W, 3]
Floats = npt.NDArray[np.float32]

LUMA_WEIGHTS = (0.299, 0.587, 0.114)
"""ITU-R BT.601, as Pillow and JPEG turn RGB into grey."""

_WEIGHTS = np.array(LUMA_WEIGHTS, np.float32)

_BAND = 1 << 19  # pixels of the result that are processed at once, a few MB of floats


def with_luminance_of(picture: Pixels, coloured: Pixels) -> Pixels:
    """Give `picture` the colours of `coloured`, and keep its luminance.

    The difference of each channel to the luminance is enlarged bilinearly. Where a colour would leave the range of
    values, the difference is reduced, which changes neither hue nor luminance. Values are rounded, so the luminance
    differs by at most half a step.

    Args:
        picture: uint8 or uint16 [H, W, 3].
        coloured: the same type, any size. It shows the same content from border to border.

    Returns:
        A new array like `picture`. It is computed in bands: besides it, only the differences, at the size of
        `coloured`, are kept.
    """
    height, width = picture.shape[:2]
    rows, columns = coloured.shape[:2]
    largest = np.float32(np.iinfo(picture.dtype).max)
    changes = coloured - (coloured.astype(np.float32) @ _WEIGHTS)[..., None]
    result = np.empty_like(picture)
    step = max(1, _BAND // width)
    for top in range(0, height, step):
        bottom = min(top + step, height)
        box = (0, top * rows / height, columns, min(bottom * rows / height, rows))
        change = np.stack([_enlarged(changes[..., c], (width, bottom - top), box) for c in range(3)], axis=2)
        luma = picture[top:bottom].astype(np.float32) @ _WEIGHTS
        above, below = (np.maximum(one, 1e-3) for one in (change.max(2), -change.min(2)))
        factor = np.minimum((largest - luma) / above, luma / below).clip(0, 1)
        change *= factor[..., None]
        change += luma[..., None]
        result[top:bottom] = np.rint(change, out=change).clip(0, largest, out=change)
    return result


def _enlarged(values: Floats, size: tuple[int, int], box: tuple[float, float, float, float]) -> Floats:
    image = Image.fromarray(np.ascontiguousarray(values))
    return np.asarray(image.resize(size, Image.Resampling.BILINEAR, box), np.float32)
