"""Finds where pictures differ most."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from img2img.evaluation.comparison.rgb import Pixels

BLOCK = 8
"""Crops lie on a grid of blocks of this side in pixels."""
LARGEST, SMALLEST = 192, 48
"""Sides of a crop in pixels."""


@dataclass(frozen=True)
class Differences:
    """How pictures of one size differ.

    Attributes:
        mean: mean over all pixels and channels of the difference between the largest and the smallest value, 0..1.
        crops: left, top, width and height of the areas with the largest differences, the largest first.
    """

    mean: float
    crops: tuple[tuple[int, int, int, int], ...] = ()


def differences(pictures: Sequence[Pixels], count: int = 3) -> Differences:
    """Where at least two pictures of one size differ most: up to `count` crops that do not overlap.

    Pictures that are hardly larger than a crop have none.
    """
    if len(pictures) < 2:
        return Differences(0.0)
    sums = [picture.sum(axis=2, dtype=np.uint16) for picture in pictures]  # of the channels
    spread = np.maximum.reduce(sums) - np.minimum.reduce(sums)
    mean = float(spread.mean(dtype=np.float64)) / (3 * 255)
    height, width = spread.shape
    side = crop_side(width, height)
    if side is None or not mean:
        return Differences(mean)
    return Differences(mean, tuple(_largest(_blocks(spread), side // BLOCK, count)))


def crop_side(width: int, height: int) -> int | None:
    """Side of a crop in pixels: a quarter of the shorter side within limits. None: the picture is too small."""
    side = min(max(min(width, height) // 4, SMALLEST), LARGEST) // BLOCK * BLOCK
    return side if min(width, height) >= 2 * side else None


def _blocks(spread: npt.NDArray[np.uint16]) -> npt.NDArray[np.int64]:
    """Sums over whole blocks."""
    height, width = (length // BLOCK for length in spread.shape)
    whole = spread[: height * BLOCK, : width * BLOCK].astype(np.int64)
    return np.asarray(whole.reshape(height, BLOCK, width, BLOCK).sum(axis=(1, 3)))


def _largest(blocks: npt.NDArray[np.int64], side: int, count: int) -> list[tuple[int, int, int, int]]:
    """Windows of `side` blocks with the largest sums, in pixels."""
    total = np.pad(blocks.cumsum(0).cumsum(1), ((1, 0), (1, 0)))
    sums = total[side:, side:] - total[:-side, side:] - total[side:, :-side] + total[:-side, :-side]
    found: list[tuple[int, int, int, int]] = []
    while len(found) < count and sums.max() > 0:
        top, left = (int(one) for one in np.unravel_index(int(sums.argmax()), sums.shape))
        found.append((left * BLOCK, top * BLOCK, side * BLOCK, side * BLOCK))
        sums[max(top - side + 1, 0) : top + side, max(left - side + 1, 0) : left + side] = 0
    return found
