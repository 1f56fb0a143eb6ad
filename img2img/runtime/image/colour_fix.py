"""Corrects the colours of a result by its input: removes the network's colour cast and keeps its detail.

The usual method replaces the low frequencies of the result by those of the input (the wavelet colour fix of StableSR,
Wang et al. 2023, arXiv:2305.07015). It bleeds over edges: a bright wall next to a dark object gets a halo. This module
models the cast as a gain and an offset that vary slowly over the picture. It applies the guided filter (He et al. 2013,
doi:10.1109/TPAMI.2012.213) to both pictures, reduced to cells, enlarges its two coefficients and applies them at full
size (the fast guided filter, He and Sun 2015, arXiv:1505.00996). The gain is regularised towards 1, not 0, so that
detail that the network added does not fade. Cells are means, so that detail does not affect them.
"""

from typing import Any

import numpy as np
import numpy.typing as npt
from PIL import Image

Pixels = npt.NDArray[Any]  # uint8 or uint16 [H, W, C]
Floats = npt.NDArray[np.float32]
Doubles = npt.NDArray[np.float64]

_CELL = 8  # side of a cell in pixels of the smaller picture; finer structure is detail
_RADIUS = 2  # cells on each side of a window's centre; a window spans 40 pixels
_FLAT = 3.0  # steps of 255; a contrast below this does not determine the gain
_MAX_GAIN = 1.25  # a larger gain, or one below the inverse, is not a cast but different content
_CLIPPED = 4.0  # steps of 255; where the input is white (or black), result values this close to it become it
_BAND = 1 << 19  # pixels of the result that are processed at once, a few MB of floats


def match_colours(result: Pixels, source: Pixels) -> Pixels:
    """Give the result the colours of its source: equal means over every neighbourhood of about 40 pixels.

    Channels are processed separately. A region that is all white or all black in a channel of the source stays so,
    unless the result clearly shows something else there. Values are rounded to the nearest step and clamped. Where
    result and source are equal, the values do not change.

    Args:
        result: uint8 or uint16 [H, W, C], a network's result for the source.
        source: the same type, any size, and the same C, or 1: grey counts as all three channels. It must show the same
            content from border to border.

    Returns:
        A new array like `result`. It is computed in bands: nothing else is as large as the picture.
    """
    height, width, channels = result.shape
    largest = np.iinfo(result.dtype).max
    source = np.broadcast_to(source, (*source.shape[:2], channels))
    size, step = _cells(result, source), largest / 255
    old_cells, wanted = reduce_to_cells(result, size), reduce_to_cells(source, size)
    fits = [_fit(old_cells[..., channel], wanted[..., channel], step) for channel in range(channels)]
    fixed = np.empty_like(result)
    rows = max(1, _BAND // width)
    for top in range(0, height, rows):
        bottom = min(top + rows, height)
        for channel, (gain, offset) in enumerate(fits):
            old = result[top:bottom, :, channel].astype(np.float32)
            new = _enlarged(gain, (width, height), top, bottom)
            new *= old
            new += old
            new += _enlarged(offset, (width, height), top, bottom)
            _keep_ends(new, old, source[..., channel], (width, height), top)
            fixed[top:bottom, :, channel] = np.rint(new, out=new).clip(0, largest, out=new)
    return fixed


def reduce_to_cells(picture: Pixels, size: tuple[int, int]) -> Floats:
    """Reduce a picture to cells: float32 [rows, columns, C] for `size` = (columns, rows), in the picture's own steps.

    A cell is a weighted mean. The weights form a triangle two cells wide, cut off at the border. For one picture in two
    resolutions, this gives nearly the same cells for any alignment of cells and pixels. Pillow's box filter does not,
    because it only uses whole pixels.
    """
    columns, rows = size
    height, width, channels = picture.shape
    cell = height / rows
    means = np.empty((rows, columns, channels), np.float32)
    step = max(1, int(_BAND / (width * cell)))
    for first in range(0, rows, step):
        last = min(first + step, rows)
        top, bottom = max(0, int((first - 1) * cell)), min(height, int((last + 1) * cell) + 1)
        box = (0, first * cell - top, width, min(last * cell, height) - top)
        for channel in range(channels):
            band = Image.fromarray(picture[top:bottom, :, channel].astype(np.float32))
            means[first:last, :, channel] = np.asarray(
                band.resize((columns, last - first), Image.Resampling.BILINEAR, box)
            )
    return means


def _cells(result: Pixels, source: Pixels) -> tuple[int, int]:
    """Number of columns and rows of cells."""
    rows, columns = (max(1, round(min(result.shape[axis], source.shape[axis]) / _CELL)) for axis in (0, 1))
    return columns, rows


def _fit(result: Floats, source: Floats, step: float) -> tuple[Floats, Floats]:
    """Fit gain - 1 and offset for each cell, so that gain * result + offset is close to the source around it.

    result, source: [rows, columns], cells of one channel; step: one step of 255 in their unit.
    """
    x, y = result.astype(np.float64), source.astype(np.float64)
    count = _window_sums(np.ones_like(x))

    def mean(values: Doubles) -> Doubles:
        return _window_sums(values) / count

    mean_x, mean_y = mean(x), mean(y)
    variance, covariance = mean(x * x) - mean_x * mean_x, mean(x * y) - mean_x * mean_y
    # Least squares for y = gain * x + offset, regularised towards gain = 1.
    flat = (_FLAT * step) ** 2
    gain = np.clip((covariance + flat) / (variance + flat), 1 / _MAX_GAIN, _MAX_GAIN)
    offset = mean_y - gain * mean_x
    # A cell is in many windows. A window that one gain and offset explain well gets more weight than one across the
    # border between a changed and an unchanged object. Otherwise, the change would bleed over the border.
    error = mean(y * y) - mean_y * mean_y + gain * (gain * variance - 2 * covariance)
    weight = 1 / (np.maximum(error, 0) + step * step)
    total = mean(weight)
    return (mean(weight * (gain - 1)) / total).astype(np.float32), (mean(weight * offset) / total).astype(np.float32)


def _window_sums(values: Doubles) -> Doubles:
    """Sum over the cells at most `_RADIUS` away in each direction, inside the picture: [H, W]."""
    for axis in (0, 1):
        length = values.shape[axis]
        sums = np.concatenate([np.zeros_like(values.take([0], axis)), values.cumsum(axis)], axis)
        at = np.arange(length)
        values = sums.take(np.minimum(at + _RADIUS + 1, length), axis) - sums.take(np.maximum(at - _RADIUS, 0), axis)
    return values


def _enlarged(cells: Floats, size: tuple[int, int], top: int, bottom: int) -> Floats:
    """Interpolate the cells linearly to `size` = (width, height), and return the rows from `top` to `bottom`."""
    width, height = size
    rows, columns = cells.shape
    box = (0, top * rows / height, columns, min(bottom * rows / height, rows))
    return np.array(Image.fromarray(cells).resize((width, bottom - top), Image.Resampling.BILINEAR, box))


def _keep_ends(new: Floats, old: Floats, source: Pixels, size: tuple[int, int], top: int) -> None:
    """Make `new` white or black, in place, where the source is white or black.

    new, old: rows of a channel from `top` on, after and before the correction; source: the whole channel; size: width
    and height of the result.
    """
    width, height = size
    # Find the source pixel for each pixel. A pixel counts only if all its neighbours are white (or black), too.
    ys = ((np.arange(top, top + len(new)) + 0.5) * (source.shape[0] / height)).astype(np.intp)
    xs = ((np.arange(width) + 0.5) * (source.shape[1] / width)).astype(np.intp)
    first, last = max(0, int(ys[0]) - 1), min(len(source), int(ys[-1]) + 2)
    largest = np.iinfo(source.dtype).max
    near = np.float32(_CLIPPED * largest / 255)
    for end in (0, largest):
        region = _eroded(source[first:last] == end)
        if region.any():
            inside = region[ys - first][:, xs]
            away = new[inside] - end
            distance = np.minimum(np.abs(away), np.abs(old[inside] - end))
            # Fully up to a distance of `near`, not at all from twice that on, and gradually in between.
            new[inside] = end + away * np.clip(distance / near - 1, 0, 1)


def _eroded(region: npt.NDArray[np.bool_]) -> npt.NDArray[np.bool_]:
    """The pixels whose 3x3 neighbourhood, inside the picture, is entirely in the region."""
    rows = region.copy()
    rows[1:] &= region[:-1]
    rows[:-1] &= region[1:]
    both = rows.copy()
    both[:, 1:] &= rows[:, :-1]
    both[:, :-1] &= rows[:, 1:]
    return both
