"""The colours of a result set right by its input: a network's cast goes, its detail stays.

The usual remedy replaces the low frequencies of the result by the input's (the wavelet colour fix of StableSR, Wang et
al. 2023, arXiv:2305.07015), which bleeds over edges: beside a dark object a bright wall gets a halo. Here the cast is
described instead, as a gain and an offset that vary slowly over the picture: the guided filter (He et al. 2013,
doi:10.1109/TPAMI.2012.213) between the two pictures reduced to cells, with its two coefficients enlarged and applied at
full size (its fast form, He and Sun 2015, arXiv:1505.00996). The gain is drawn towards 1, not 0, so that detail which
the network alone has is not faded out; and cells, being means, do not see that detail at all.
"""

from typing import Any

import numpy as np
import numpy.typing as npt
from PIL import Image

Pixels = npt.NDArray[Any]  # uint8 or uint16 [H, W, C]
Floats = npt.NDArray[np.float32]
Doubles = npt.NDArray[np.float64]

CAST = 2.5
"""A shift of the mean of any channel by more than this, in steps of 255, deserves a warning; see `cast`.

The bundled upscalers shift 300 photos and drawings by 0.04 in the median and by 2.2 at most (pixel art).
"""

_CELL = 8  # pixels of the smaller picture that become one value; finer structure is detail
_RADIUS = 2  # cells to each side of a window; together 40 pixels
_FLAT = 3.0  # steps of 255: contrast below this does not say anything about the gain
_GAIN = 1.25  # a larger one, or one below its inverse, is no cast but another picture
_CLIPPED = 4.0  # steps of 255 within which white (or black) of the input is taken to be meant as such
_BAND = 1 << 19  # pixels of the result under way at once, a few MB of floats


def matched(result: Pixels, source: Pixels) -> Pixels:
    """The result with the colours of its source: equal means over every neighbourhood of about 40 pixels.

    Each channel by itself. A region that is clipped in the source, all white or all black in a channel, is clipped in
    what comes back, unless the result clearly shows something else there. Values are rounded to the nearest step and
    clamped. Where result and source are equal, the very values come back.

    Args:
        result: uint8 or uint16 [H, W, C], what a network made of the source.
        source: the same type and C, any size; both are taken to show the same from border to border.

    Returns:
        A new array like `result`. It is made in bands: nothing else is as large as the picture.
    """
    height, width, channels = result.shape
    largest = np.iinfo(result.dtype).max
    size, step = _cells(result, source), largest / 255
    old_cells, wanted = reduced(result, size), reduced(source, size)
    fits = [_fitted(old_cells[..., channel], wanted[..., channel], step) for channel in range(channels)]
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


def cast(result: Pixels, source: Pixels) -> tuple[float, float, float]:
    """By how much the mean of red, green and blue is higher in the result, in steps of 255; grey counts as all three.

    result, source: uint8 or uint16 [H, W, C], C = 1 or 3, of any two sizes. For a network that shows the same picture,
    not for one that is meant to change its colours.
    """
    shift = (_mean(result) - _mean(source)) * (255 / np.iinfo(result.dtype).max)
    red, green, blue = np.broadcast_to(shift, 3).tolist()
    return red, green, blue


def warning(shift: tuple[float, float, float]) -> str | None:
    """A line for a person where the shift that `cast` gives is worth one, else None."""
    if max(map(abs, shift)) <= CAST:
        return None
    red, green, blue = shift
    return f"the colours shift by {red:+.1f}, {green:+.1f}, {blue:+.1f} of 255 on average: --color-fix matches them"


def reduced(picture: Pixels, size: tuple[int, int]) -> Floats:
    """float32 [rows, columns, C] for `size` = (columns, rows): weighted means, in the picture's own steps.

    The weights are a triangle of two cells' width, cut off at the border: it gives nearly the same for a picture in two
    resolutions, however cells and pixels lie to each other. Pillow's box filter takes or leaves whole pixels.
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
    """Columns and rows of cells."""
    rows, columns = (max(1, round(min(result.shape[axis], source.shape[axis]) / _CELL)) for axis in (0, 1))
    return columns, rows


def _fitted(result: Floats, source: Floats, step: float) -> tuple[Floats, Floats]:
    """Gain - 1 and offset for each cell, so that (1 + gain) * result + offset is near the source around it.

    result, source: [rows, columns], cells of one channel; step: a step of 255 in their unit.
    """
    x, y = result.astype(np.float64), source.astype(np.float64)
    count = _window_sums(np.ones_like(x))

    def mean(values: Doubles) -> Doubles:
        return _window_sums(values) / count

    mean_x, mean_y = mean(x), mean(y)
    variance, covariance = mean(x * x) - mean_x * mean_x, mean(x * y) - mean_x * mean_y
    # Least squares for y = gain * x + offset with a prior for gain = 1.
    flat = (_FLAT * step) ** 2
    gain = np.clip((covariance + flat) / (variance + flat), 1 / _GAIN, _GAIN)
    offset = mean_y - gain * mean_x
    # A cell is in many windows. Those that one gain and offset explain count more than those across a border between
    # two things of which one has changed: without this the change bleeds over the border.
    error = mean(y * y) - mean_y * mean_y + gain * (gain * variance - 2 * covariance)
    weight = 1 / (np.maximum(error, 0) + step * step)
    total = mean(weight)
    return (mean(weight * (gain - 1)) / total).astype(np.float32), (mean(weight * offset) / total).astype(np.float32)


def _window_sums(values: Doubles) -> Doubles:
    """[H, W]: the sum over the cells at most `_RADIUS` away in each direction, as far as there are any."""
    for axis in (0, 1):
        length = values.shape[axis]
        sums = np.concatenate([np.zeros_like(values.take([0], axis)), values.cumsum(axis)], axis)
        at = np.arange(length)
        values = sums.take(np.minimum(at + _RADIUS + 1, length), axis) - sums.take(np.maximum(at - _RADIUS, 0), axis)
    return values


def _enlarged(cells: Floats, size: tuple[int, int], top: int, bottom: int) -> Floats:
    """Rows top to bottom of the cells' values at `size` = (width, height), interpolated linearly."""
    width, height = size
    rows, columns = cells.shape
    box = (0, top * rows / height, columns, min(bottom * rows / height, rows))
    return np.array(Image.fromarray(cells).resize((width, bottom - top), Image.Resampling.BILINEAR, box))


def _keep_ends(new: Floats, old: Floats, source: Pixels, size: tuple[int, int], top: int) -> None:
    """Make `new` white or black, in place, where the source is.

    new, old: rows from `top` on of a channel, after and before its colours were set right; source: the whole channel;
    size: width and height of the result.
    """
    width, height = size
    # The source pixel below each pixel; one more on each side, because the rim of a white region is no white region.
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
            # All the way up to `near`, not at all from twice that on, so that there is no jump between.
            new[inside] = end + away * np.clip(distance / near - 1, 0, 1)


def _eroded(region: npt.NDArray[np.bool_]) -> npt.NDArray[np.bool_]:
    """Where all 3x3 pixels around, as far as there are any, are in the region too."""
    rows = region.copy()
    rows[1:] &= region[:-1]
    rows[:-1] &= region[1:]
    both = rows.copy()
    both[:, 1:] &= rows[:, :-1]
    both[:, :-1] &= rows[:, 1:]
    return both


def _mean(picture: Pixels) -> Doubles:
    """Mean of each channel."""
    total = sum(picture[top : top + 4096].sum(axis=0, dtype=np.uint32) for top in range(0, len(picture), 4096))
    mean: Doubles = np.asarray(total, np.float64).mean(axis=0) / len(picture)
    return mean
