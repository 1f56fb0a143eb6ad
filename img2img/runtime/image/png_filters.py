"""PNG's filters: each row as differences from a prediction by its neighbours (PNG, third edition, W3C 2025, section 9).

Each row gets the filter with the smallest sum of absolute differences (12.7), as in libpng and Pillow: none, up, sub or
paeth.

Numpy is fast enough for this, about 5 ns a byte, as long as every step is on bytes and the arrays fit the processor's
cache.
"""

import numpy as np
import numpy.typing as npt

from img2img.types import Bytes, Pixels

NONE, SUB, UP, PAETH = 0, 1, 2, 4
BLOCK_BYTES = 128 << 10


def filter_rows(parts: tuple[Pixels, ...], top: int, bottom: int) -> Bytes:
    """Filter the rows from `top` to before `bottom`.

    Args:
        parts: uint8 or uint16 arrays [H, W, C]; together they hold the channels of the picture.

    Returns:
        uint8 [bottom - top, 1 + bytes of a row]: the number of the filter, then the differences.
    """
    width, channels = parts[0].shape[1], sum(part.shape[2] for part in parts)
    kind = parts[0].dtype.newbyteorder(">")
    step = channels * kind.itemsize
    stride = (1 + width) * step
    block_rows = min(max(1, BLOCK_BYTES // stride), bottom - top)
    # One row above and one pixel to the left belong to each block: outside the picture, neighbours are zero.
    pixels = np.zeros((block_rows + 1, 1 + width, channels), kind)
    block = pixels.view(np.uint8).reshape(-1, stride)
    scratch = np.empty((9, block_rows, stride), np.uint8)
    result = np.empty((bottom - top, 1 + width * step), np.uint8)
    if top:
        _fill(pixels[:1, 1:], parts, top - 1)
    for start in range(top, bottom, block_rows):
        rows = min(block_rows, bottom - start)
        _fill(pixels[1 : rows + 1, 1:], parts, start)
        _filter_block(block[: rows + 1], step, scratch[:, :rows], result[start - top :][:rows])
        pixels[0] = pixels[rows]
    return result


def _fill(rows: Pixels, parts: tuple[Pixels, ...], top: int) -> None:
    first = 0
    for part in parts:
        last = first + part.shape[2]
        rows[..., first:last] = part[top : top + len(rows)]
        first = last


def _filter_block(block: Bytes, step: int, scratch: Bytes, result: Bytes) -> None:
    """Filter all rows of a block but the first.

    The rows are one flat array here, and the neighbours are the same array, shifted. So numpy needs one pass for all
    rows. The values at the zero pixels on the left are meaningless and not used.
    """
    _, rows, stride = scratch.shape
    flat, size = block.reshape(-1), rows * stride - step
    here, left = flat[stride + step :], flat[stride:-step]
    above, corner = flat[step:-stride], flat[: -stride - step]
    up, sub, paeth, *spare = scratch.reshape(len(scratch), -1)[:, :size]
    np.subtract(here, above, out=up)
    np.subtract(here, left, out=sub)
    np.subtract(here, _paeth(left, above, corner, spare), out=paeth)

    filtered = {NONE: block[1:, step:], **{kind: scratch[n, :, :-step] for n, kind in enumerate((UP, SUB, PAETH))}}
    costs = [_cost(differences) for differences in filtered.values()]
    best = np.argmin(costs, axis=0)
    for number, (kind, differences) in enumerate(filtered.items()):
        chosen = best == number
        result[chosen, 0] = kind
        if chosen.all():  # the usual case in photos, and much faster than an index
            result[:, 1:] = differences
        elif chosen.any():
            result[chosen, 1:] = differences[chosen]


def _cost(differences: Bytes) -> npt.NDArray[np.uint32]:
    """The sum over each row, where 255 counts as -1."""
    absolute = np.abs(differences.view(np.int8)).view(np.uint8)  # -128 becomes 128
    total: npt.NDArray[np.uint32] = absolute.sum(axis=1, dtype=np.uint32)
    return total


def _paeth(left: Bytes, above: Bytes, corner: Bytes, spare: list[Bytes]) -> Bytes:
    """The neighbour that is nearest to left + above - corner; on a tie the first of left, above, corner (9.4).

    With low <= high for left and above, d1 = max(0, corner - low) and d2 = max(0, high - corner), it is low where
    2 * d2 <= d1, high where 2 * d1 <= d2, and corner elsewhere. So all steps stay within bytes.
    """
    low, high, d1, d2, is_low, is_high = spare
    np.minimum(left, above, out=low)
    np.maximum(left, above, out=high)
    np.maximum(corner, low, out=d1)
    d1 -= low
    np.minimum(corner, high, out=d2)
    np.subtract(high, d2, out=d2)
    np.right_shift(d1, 1, out=is_low)
    np.right_shift(d2, 1, out=is_high)
    np.less_equal(d2, is_low, out=is_low.view(np.bool_))
    np.less_equal(d1, is_high, out=is_high.view(np.bool_))
    # Masks of all ones or zeros select with XOR and AND: a hundred times as fast as np.where on bytes.
    np.negative(is_low, out=is_low)
    np.negative(is_high, out=is_high)
    low ^= corner
    low &= is_low
    high ^= corner
    high &= is_high
    low ^= high
    low ^= corner
    return low
