"""Results that are numbers but no picture: black, one colour, or clipped all over.

A half-precision network whose values overflow gives no NaN where the graph ends in a clamp: it gives black or white.
"""

from typing import Any

import numpy as np
import numpy.typing as npt

from img2img.runtime.image.colour_fix import reduced

Pixels = npt.NDArray[Any]  # uint8 or uint16 [H, W, C]

# Thresholds in steps of 255.
_ONE_COLOUR = 1  # values of a channel no further apart than this are one colour
_STRUCTURE = 4  # standard deviation, after averaging over cells, of a picture that is surely not one colour
_FAR = 64  # black or white in place of a value this far from it is broken; no contrast curve of an upscaler does that
_NEAR = 32  # values this near to black or white may become it: a scan of a text with its noise gone

_BROKEN_SHARE = 0.01  # of the cells; a tile of 500x500 pixels has 4 % of a picture of 2500x2500
_CLIPPED_SHARE = 0.98  # of the values
_CELL, _CELLS, _SAMPLES = 8, 32, 8  # pixels of a cell at least, cells along a side at most, samples along a cell


def fault(result: Pixels, source: Pixels, *, same: bool = True) -> str | None:
    """What is wrong with a network's result, in words that follow "its result is", or None.

    Meant to be sure rather than to find everything, because a fault means that a picture is thrown away:

    - one colour in all of its pixels (black, for example), where the source shows something coarser than noise;
    - with `same`, a channel all black or all white in at least 1 % of the picture where the source is 64 steps of 255
      or more away from that;
    - with `same`, 98 % of the values black or white, where in the source less than half are near that.

    It looks at 256x256 samples at most, and at everything only where they are all one colour.

    Args:
        result, source: uint8 or uint16 [H, W, C], of one type and C, any two sizes.
        same: whether the result shows what the source shows, as an upscaler's does. False for translations and
            inpainting, of which only the first fault can be told; and that only where a picture of one colour is no
            right answer, as it may be for a network that makes masks.
    """
    largest = int(np.iinfo(result.dtype).max)
    step = largest / 255
    rows, columns = (_cells(min(result.shape[axis], source.shape[axis])) for axis in (0, 1))
    new = _samples(result, rows, columns)
    if _spread(new) <= _ONE_COLOUR * step and _shows_something(source, rows, columns, step):
        low, high = result.min(axis=(0, 1)), result.max(axis=(0, 1))
        if (high - low).max() <= _ONE_COLOUR * step:
            if high.max() <= _ONE_COLOUR * step:
                return "all black, and the picture is not"
            colour = ", ".join(f"{value / step:.0f}" for value in high.tolist())
            return f"one colour all over ({colour} of 255), and the picture is not"
    if not same:
        return None
    old = _samples(source, rows, columns)
    mean = old.mean(axis=(1, 3))
    for end, word in ((0, "black"), (largest, "white")):
        broken = (new == end).all(axis=(1, 3)) & (np.abs(mean - end) >= _FAR * step)
        share = float(broken.any(axis=-1).mean())
        if share >= _BROKEN_SHARE:
            return f"{word} in {share:.0%} of the picture, where the picture is not"
    clipped = float(((new == 0) | (new == largest)).mean())
    near = float(((old <= _NEAR * step) | (old >= largest - _NEAR * step)).mean())
    if clipped >= _CLIPPED_SHARE and near < 0.5:
        return f"nothing but extremes: {clipped:.0%} of its values are 0 or the largest"
    return None


def _cells(side: int) -> int:
    return min(max(1, side // _CELL), _CELLS)


def _samples(picture: Pixels, rows: int, columns: int) -> Pixels:
    """[rows, 8, columns, 8, C]: pixels evenly spread over the picture, at the same places whatever its size."""
    height, width, channels = picture.shape
    ys, xs = (
        ((np.arange(cells * _SAMPLES) + 0.5) * (side / (cells * _SAMPLES))).astype(np.intp)
        for cells, side in ((rows, height), (columns, width))
    )
    picked: Pixels = picture[ys[:, None], xs]
    return picked.reshape(rows, _SAMPLES, columns, _SAMPLES, channels)


def _spread(samples: Pixels) -> int:
    """Largest difference of two samples in any channel."""
    flat = samples.reshape(-1, samples.shape[-1])
    return int((flat.max(axis=0) - flat.min(axis=0)).max())


def _shows_something(source: Pixels, rows: int, columns: int, step: float) -> bool:
    """Means and not samples: a fine pattern may rightly become a flat grey where the result is smaller."""
    cells = reduced(source, (columns, rows))
    return float(cells.std(axis=(0, 1), dtype=np.float64).max()) >= _STRUCTURE * step
