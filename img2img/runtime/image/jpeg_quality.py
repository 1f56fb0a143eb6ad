"""Estimates the quality at which a JPEG was saved, from its luminance quantisation table (ITU-T T.81)."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

# Table K.1 of ITU-T T.81. Only its sum is used, so the order does not matter: a file stores the steps in zigzag order,
# and so did versions of Pillow before 8.3.
_STANDARD = np.array(
    [
        [16, 11, 10, 16, 24, 40, 51, 61],
        [12, 12, 14, 19, 26, 58, 60, 55],
        [14, 13, 16, 24, 40, 57, 69, 56],
        [14, 17, 22, 29, 51, 87, 80, 62],
        [18, 22, 37, 56, 68, 109, 103, 77],
        [24, 35, 55, 64, 81, 104, 113, 92],
        [49, 64, 78, 87, 103, 121, 120, 101],
        [72, 92, 95, 98, 112, 100, 103, 99],
    ]
)
_LARGEST = 255  # the largest step of a baseline JPEG


def estimate(image: Any) -> int | None:
    """The quality of an opened JPEG on the scale of libjpeg, 1 to 100.

    It is the quality at which libjpeg's luminance table has the sum nearest to that of the file. This is exact for
    encoders that use the standard tables, and an equivalent for others. ImageMagick estimates by sums too
    (coders/jpeg.c, JPEGImageQuality).

    Args:
        image: an image of Pillow's JPEG plugin, decoded or not.

    Returns:
        The quality; None if the file has no quantisation table for its first component.
    """
    number = image.layer[0][3] if image.layer else 0
    table = image.quantization.get(number)
    if not table:
        return None
    found = sum(min(step, _LARGEST) for step in table)
    return int(np.abs(_SUMS - found).argmin()) + 1


def _sums() -> npt.NDArray[np.int64]:
    """The sum of libjpeg's luminance table at each quality from 1 to 100 (jpeg_quality_scaling, jpeg_add_quant_table
    of jcparam.c).
    """
    quality = np.arange(1, 101)
    percent = np.where(quality < 50, 5000 // quality, 200 - 2 * quality)
    steps = (_STANDARD.reshape(1, 64) * percent[:, None] + 50) // 100
    sums: npt.NDArray[np.int64] = steps.clip(1, _LARGEST).sum(axis=1)
    return sums


_SUMS = _sums()
