"""Checks whether tiles leave visible seams, by comparing two runs of a picture with different tilings.

If the card's `context` is correct, tiles give the same result as one run over the whole picture (see `tiling`). If it
is too small, errors appear next to the borders of tiles. Two tilings without a common border reveal all of them.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from img2img.runtime.network.card import Card
from img2img.runtime.network.grid import AUTO, Grid, Tile, round_up
from img2img.runtime.network.tiling import run_tiled

if TYPE_CHECKING:
    from img2img.runtime.network.network import Network

Pixels = npt.NDArray[Any]  # uint8 or uint16 [H, W, C]

VISIBLE = 1.0
"""Largest difference, in steps of 255, that rounding can explain."""

_BAND_ROWS = 64
_SMALLEST = 16  # preferred smallest side of a tile, in pixels
_MAX_TRIALS = 64  # number of second tilings that are tried


@dataclass(frozen=True, slots=True)
class Seams:
    """The difference between the results of two tilings of one picture.

    Attributes:
        largest, mean: absolute differences of single values (one channel of one pixel), in steps of 255.
        place: x and y of the largest difference, in pixels of the result.
        tiles: columns and rows of tiles in the first run and in the second.
    """

    largest: float
    mean: float
    place: tuple[int, int]
    tiles: tuple[tuple[int, int], tuple[int, int]] = ((1, 1), (1, 1))

    def __str__(self) -> str:
        """One line for the user."""
        (first, second) = (f"{columns}x{rows}" for columns, rows in self.tiles)
        found = f"largest difference {self.largest:.3g} of 255 at {self.place[0]},{self.place[1]}, mean {self.mean:.2g}"
        verdict = "no seams" if self.largest <= VISIBLE else "there are seams: the card's context is too small"
        return f"{verdict} ({found}; {first} and {second} tiles)"


def check(
    model: "Network",
    colour: Pixels,
    tile: Tile = AUTO,
    *,
    progress: Callable[[int], None] | None = None,
    note: Callable[[str], None] | None = None,
) -> Seams | None:
    """Run a picture with two tilings and compare the results. Holds both results in memory.

    Args:
        model, colour, progress, note: see `run_tiled`; the progress adds up to twice the picture.
        tile: the user's choice. The first run uses it, unless the picture fits into one such tile: then both runs use
            smaller tiles.

    Returns:
        None if the picture cannot be cut into tiles; see `why_not`.

    Raises: the errors of `run_tiled`.
    """
    if model.fixed is not None:
        return None
    two = tilings(model.card, colour.shape[0], colour.shape[1], tile)
    if two is None:
        return None
    first, second = (run_tiled(model, colour, tile=one, progress=progress, note=note) for one in two)
    largest, mean, place = compare(first, second)
    grid, (height, width) = Grid(model.card), colour.shape[:2]
    counts = [tuple(len(_borders(grid, side, one)) + 1 for side in (width, height)) for one in two]
    return Seams(largest, mean, place, (counts[0], counts[1]))  # type: ignore[arg-type]  # of two sides each


def why_not(card: Card) -> str:
    """One line for the user, for pictures for which `check` returns None."""
    if card.context is None:
        return f"no seams: {card.name} runs every picture as a whole, without tiles"
    return f"seams not checked: {card.name} cannot cut this picture into tiles in two ways"


def tilings(card: Card, height: int, width: int, tile: Tile = AUTO) -> tuple[Tile, Tile] | None:
    """Return two values of `tile` for `run_tiled` whose inner borders are as far apart as possible.

    The first value is `tile`, or a smaller one if `tile` leaves the picture in one piece. In that case, both values cut
    every side that is long enough for tiles of at least 16 pixels and their context. Returns None if the picture cannot
    be cut in two ways.
    """
    grid = Grid(card)
    if grid.context is None:
        return None
    sides = (height, width)
    padded = [len(grid.padded_indices(side)) for side in sides]
    smallest = max(1, grid.minimum - 2 * grid.context)  # smaller tiles would have windows of the same size
    first: Tile = tile
    limit = grid.limit(tile)
    if limit is None or limit >= max(padded):
        cut = [side for side in padded if side > max(2 * grid.context + grid.multiple, grid.minimum)]
        if not cut:
            return None
        # Cut into thirds, so that a different number of tiles remains for the second tiling. Ignore the short side of
        # a narrow picture if its tiles would consist of little more than context.
        thirds = sorted((side - 2 * grid.context) // 3 for side in cut)
        large_enough = [third for third in thirds if third >= max(_SMALLEST, grid.context)]
        first = max(smallest, (large_enough or thirds[-1:])[0])
        limit = grid.limit(first)
    assert limit is not None
    size = max(limit - 2 * grid.context, grid.multiple)
    first_borders = [_borders(grid, side, first) for side in sides]
    if not any(first_borders):  # the only borders are in the padding
        return None

    def score(other: int) -> tuple[float, bool, int, int]:
        """Rank a second tile size: no common borders, no more memory, large distances, and few tiles."""
        borders = [_borders(grid, side, other) for side in sides]
        distances = [_distances(one, two) for one, two in zip(first_borders, borders, strict=True) if one]
        not_shared = sum(float((one > 0).mean()) for one in distances)
        return not_shared, other <= size, min(int(one.min()) for one in distances), other

    # A tile of `size` cuts a slightly longer side in two; a tile of a third of that cuts it in three.
    start, stop = max(smallest, size // 4), 2 * size + 1
    step = max(grid.multiple, round_up((stop - start) // _MAX_TRIALS, grid.multiple))
    best = max(map(score, range(start, stop, step)))
    return (first, best[-1]) if best[0] else None


def compare(first: Pixels, second: Pixels) -> tuple[float, float, tuple[int, int]]:
    """The largest and the mean absolute difference in steps of 255, and x and y of the largest.

    first, second: uint8 or uint16 [H, W, C], of the same type and shape. They are compared in bands of rows.
    """
    largest, total, place = -1, 0, (0, 0)
    for top in range(0, len(first), _BAND_ROWS):
        rows = slice(top, top + _BAND_ROWS)
        difference = np.abs(first[rows].astype(np.int32) - second[rows])
        total += int(difference.sum(dtype=np.int64))
        if (highest := int(difference.max())) > largest:
            y, x = np.unravel_index(int(difference.argmax()), difference.shape)[:2]
            largest, place = highest, (int(x), top + int(y))
    step = np.iinfo(first.dtype).max / 255
    return largest / step, total / first.size / step, place


def _borders(grid: Grid, side: int, tile: Tile) -> list[int]:
    """The positions at which `run_tiled` switches from one tile to the next along a side of the picture."""
    spans = grid.spans(len(grid.padded_indices(side)), grid.limit(tile), even=tile == AUTO)
    return [span.last for span in spans if span.last < side]


def _distances(first: list[int], second: list[int]) -> npt.NDArray[np.int64]:
    """The distance of each border in `first` to the nearest in `second`, both sorted; 0 if `second` is empty."""
    if not second:
        return np.zeros(len(first), np.int64)
    places, others = np.array(first, np.int64), np.array(second, np.int64)
    after = np.searchsorted(others, places).clip(0, len(others) - 1)
    before = (after - 1).clip(0)
    nearest: npt.NDArray[np.int64] = np.minimum(np.abs(others[after] - places), np.abs(others[before] - places))
    return nearest
