"""Detects broken results: all black, a single colour, or clipped everywhere.

If values overflow in a half-precision network whose graph ends with a clamp, the result is not NaN but black or white.
"""

from typing import Any

import numpy as np
import numpy.typing as npt

from img2img.runtime.image.colour_fix import reduce_to_cells

Pixels = npt.NDArray[Any]  # uint8 or uint16 [H, W, C]

# Thresholds in steps of 255.
_ONE_COLOUR = 1  # if the values of each channel differ by at most this, the picture has a single colour
_STRUCTURE = 4  # a picture with this standard deviation of its cells certainly has more than one colour
_FAR = 64  # a value this far from black (or white) must not become it; no upscaler changes the contrast that much
_NEAR = 32  # a value this close to black or white may become black or white: a scanned text without its noise

_BROKEN_SHARE = 0.01  # of the cells; a tile of 500x500 pixels covers 4 % of a picture of 2500x2500
_CLIPPED_SHARE = 0.98  # of the values
_CELL, _CELLS, _SAMPLES = 8, 32, 8  # minimum pixels per cell side, maximum cells per side, samples per cell side


def find_fault(result: Pixels, source: Pixels, *, same: bool = True) -> str | None:
    """Describe what is wrong with a network's result, in words that follow "its result is"; None if it looks fine.

    It avoids false positives rather than finding every fault, because a fault discards the picture. Faults:

    - All pixels have one colour (black, for example), but the source shows something coarser than noise.
    - With `same`: a channel is all black or all white in at least 1 % of the picture, but the source is at least 64
      steps of 255 away from that.
    - With `same`: 98 % of the values are black or white, but less than half are close to that in the source.

    It checks at most 256x256 samples. It checks all pixels only if all samples have one colour.

    Args:
        result, source: uint8 or uint16 [H, W, C], of the same type and C, any two sizes.
        same: True if the result should show the same picture as the source, as with upscalers. False for translation
            and inpainting, for which only the first fault can be detected. A network whose correct result may have one
            colour, such as a mask, must not be checked at all.
    """
    largest = int(np.iinfo(result.dtype).max)
    step = largest / 255
    rows, columns = (_cells(min(result.shape[axis], source.shape[axis])) for axis in (0, 1))
    new = _samples(result, rows, columns)
    if _spread(new) <= _ONE_COLOUR * step and _shows_something(source, rows, columns, step):
        low, high = result.min(axis=(0, 1)), result.max(axis=(0, 1))
        if (high - low).max() <= _ONE_COLOUR * step:
            if high.max() <= _ONE_COLOUR * step:
                return "all black, but the picture is not"
            colour = ", ".join(f"{value / step:.0f}" for value in high.tolist())
            return f"a single colour ({colour} of 255), but the picture is not"
    if not same:
        return None
    old = _samples(source, rows, columns)
    mean = old.mean(axis=(1, 3))
    for end, word in ((0, "black"), (largest, "white")):
        broken = (new == end).all(axis=(1, 3)) & (np.abs(mean - end) >= _FAR * step)
        share = float(broken.any(axis=-1).mean())
        if share >= _BROKEN_SHARE:
            return f"{word} in {share:.0%} of the picture, but the picture is not"
    clipped = float(((new == 0) | (new == largest)).mean())
    near = float(((old <= _NEAR * step) | (old >= largest - _NEAR * step)).mean())
    if clipped >= _CLIPPED_SHARE and near < 0.5:
        return f"clipped: {clipped:.0%} of its values are the smallest or the largest possible"
    return None


def _cells(side: int) -> int:
    return min(max(1, side // _CELL), _CELLS)


def _samples(picture: Pixels, rows: int, columns: int) -> Pixels:
    """Sample pixels evenly over the picture, at the same relative places for any size: [rows, 8, columns, 8, C]."""
    height, width, channels = picture.shape
    ys, xs = (
        ((np.arange(cells * _SAMPLES) + 0.5) * (side / (cells * _SAMPLES))).astype(np.intp)
        for cells, side in ((rows, height), (columns, width))
    )
    picked: Pixels = picture[ys[:, None], xs]
    return picked.reshape(rows, _SAMPLES, columns, _SAMPLES, channels)


def _spread(samples: Pixels) -> int:
    """The largest difference between two samples in any channel."""
    flat = samples.reshape(-1, samples.shape[-1])
    return int((flat.max(axis=0) - flat.min(axis=0)).max())


def _shows_something(source: Pixels, rows: int, columns: int, step: float) -> bool:
    """Whether the source has structure. Uses means instead of samples: a fine pattern may correctly become grey."""
    cells = reduce_to_cells(source, (columns, rows))
    return float(cells.std(axis=(0, 1), dtype=np.float64).max()) >= _STRUCTURE * step
