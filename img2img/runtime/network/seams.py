"""Whether a result depends on how the picture was cut: the same picture in two tilings, compared.

Tiles equal one run over the whole where a card's `context` is true (see `tiling`). Where it is too small the error is
next to the borders of tiles, and other borders put it elsewhere: two tilings without a common border show all of it.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from img2img.runtime.network.card import Card
from img2img.runtime.network.grid import AUTO, Grid, Tile, up
from img2img.runtime.network.tiling import run_tiled

if TYPE_CHECKING:
    from img2img.runtime.network.network import Network

Pixels = npt.NDArray[Any]  # uint8 or uint16 [H, W, C]

VISIBLE = 1.0
"""Steps of 255 up to which a difference is a matter of rounding."""

_BAND_ROWS = 64
_SMALLEST = 16  # pixels of a tile, where there is a choice
_TRIED = 64  # second tilings


@dataclass(frozen=True, slots=True)
class Seams:
    """How far two tilings of one picture are apart.

    Attributes:
        largest, mean: differences of single values, in steps of 255; a channel counts by itself.
        place: x and y of the largest, in pixels of the result.
        tiles: columns and rows of tiles in the first run and in the second.
    """

    largest: float
    mean: float
    place: tuple[int, int]
    tiles: tuple[tuple[int, int], tuple[int, int]] = ((1, 1), (1, 1))

    def __str__(self) -> str:
        """One line for a person."""
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
    """Run a picture in two tilings and compare the results; None where it has no tiles, see `why_not`.

    Args:
        model, colour, progress, note: as `run_tiled` takes them; progress adds up to twice the picture.
        tile: as the person has it. It is the first run's, unless the picture fits into one such tile: then smaller ones
            are used in both runs.

    Raises: what `run_tiled` raises. Two results are in memory at a time.
    """
    if model.fixed is not None:
        return None
    two = tilings(model.card, colour.shape[0], colour.shape[1], tile)
    if two is None:
        return None
    first, second = (run_tiled(model, colour, tile=one, progress=progress, note=note) for one in two)
    largest, mean, place = compared(first, second)
    grid, (height, width) = Grid(model.card), colour.shape[:2]
    counts = [tuple(len(_borders(grid, side, one)) + 1 for side in (width, height)) for one in two]
    return Seams(largest, mean, place, (counts[0], counts[1]))  # type: ignore[arg-type]  # of two sides each


def why_not(card: Card) -> str:
    """A line for a person where `check` gives None."""
    if card.context is None:
        return f"no seams: {card.name} sees every picture as a whole and never cuts it into tiles"
    return f"not compared: {card.name} cannot cut this picture into tiles in two ways"


def tilings(card: Card, height: int, width: int, tile: Tile = AUTO) -> tuple[Tile, Tile] | None:
    """Two values of `tile` for `run_tiled` whose inner borders are as far apart as possible.

    The first is the given one, or smaller where that leaves the picture in one piece: then both cut every side that is
    long enough for tiles of at least 16 pixels and the context. None where it cannot be cut in two ways.
    """
    grid = Grid(card)
    if grid.context is None:
        return None
    sides = (height, width)
    padded = [len(grid.padded(side)) for side in sides]
    least = max(1, grid.minimum - 2 * grid.context)  # smaller tiles have windows of the same size
    first: Tile = tile
    limit = grid.limit(tile)
    if limit is None or limit >= max(padded):
        cut = [side for side in padded if side > max(2 * grid.context + grid.multiple, grid.minimum)]
        if not cut:
            return None
        # Thirds, so that a second number of tiles is left. Not for the sake of a sliver's short side, where tiles
        # would be next to nothing but context.
        thirds = sorted((side - 2 * grid.context) // 3 for side in cut)
        worthwhile = [third for third in thirds if third >= max(_SMALLEST, grid.context)]
        first = max(least, (worthwhile or thirds[-1:])[0])
        limit = grid.limit(first)
    assert limit is not None
    size = max(limit - 2 * grid.context, grid.multiple)
    taken = [_borders(grid, side, first) for side in sides]
    if not any(taken):  # cut in the padding only
        return None

    def worth(other: int) -> tuple[float, bool, int, int]:
        """Share of the first run's borders that are gone; whether it needs no more memory; pixels between borders."""
        apart = [_distances(before, _borders(grid, side, other)) for before, side in zip(taken, sides, strict=True)]
        gone = [float((distances > 0).mean()) for distances in apart if len(distances)]
        least_apart = min(int(distances.min()) for distances in apart if len(distances))
        return sum(gone), other <= size, least_apart, other  # and of equals the largest tile, which costs least

    # A tile of `size` may cut a side in two where it is almost as long; a third of it then gives three.
    start, stop = max(least, size // 4), 2 * size + 1
    step = max(grid.multiple, up((stop - start) // _TRIED, grid.multiple))
    best = max(map(worth, range(start, stop, step)))
    return (first, best[-1]) if best[0] else None


def compared(first: Pixels, second: Pixels) -> tuple[float, float, tuple[int, int]]:
    """Largest and mean absolute difference in steps of 255, and x and y of the largest; in bands of rows.

    first, second: uint8 or uint16 [H, W, C], of one type and shape.
    """
    largest, total, place = -1, 0, (0, 0)
    for top in range(0, len(first), _BAND_ROWS):
        rows = slice(top, top + _BAND_ROWS)
        apart = np.abs(first[rows].astype(np.int32) - second[rows])
        total += int(apart.sum(dtype=np.int64))
        if (highest := int(apart.max())) > largest:
            y, x = np.unravel_index(int(apart.argmax()), apart.shape)[:2]
            largest, place = highest, (int(x), top + int(y))
    step = np.iinfo(first.dtype).max / 255
    return largest / step, total / first.size / step, place


def _borders(grid: Grid, side: int, tile: Tile) -> list[int]:
    """Where `run_tiled` passes from one tile to the next along a side of the picture."""
    spans = grid.spans(len(grid.padded(side)), grid.limit(tile), even=tile == AUTO)
    return [span.last for span in spans if span.last < side]


def _distances(first: list[int], second: list[int]) -> npt.NDArray[np.int64]:
    """How far each border of `first` is from the nearest of `second`; 0 where `second` does not cut this side.

    Both count upwards.
    """
    if not second:
        return np.zeros(len(first), np.int64)
    places, others = np.array(first, np.int64), np.array(second, np.int64)
    after = np.searchsorted(others, places).clip(0, len(others) - 1)
    before = (after - 1).clip(0)
    nearest: npt.NDArray[np.int64] = np.minimum(np.abs(others[after] - places), np.abs(others[before] - places))
    return nearest
