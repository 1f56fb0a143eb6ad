"""A picture of any size through a network, in pieces, with the result of one run over the whole.

A tile is computed from a window: the tile and `context` real pixels on each side. Windows lie inside the picture, so
that a window ends where the picture ends exactly if the picture ends there; what a network does at borders (zero
padding, clamped resizing) then happens where it happens in a run over the whole.

On the CPU tiled and whole results are equal bit by bit, because onnxruntime's blocked convolutions sum up in the same
order whatever the window. Two things are known to break this, both by far less than a step of 255, so that a value at a
tie may round to the other side:
- A convolution outside the blocked layout (it reads 17 or more channels, no multiple of 16, straight from an operator
  such as SpaceToDepth) with more than 128 weights an output splits its sum by the number of output pixels for each
  thread, where these are fewer than about 128: 3e-7 of the range, in tiny pictures and tiles.
- A linear resize inside the network by a factor that is no power of two rounds its coordinates: 4e-6.

A network that takes one size only is run in windows of that size. Where nobody knows how far it sees, or it sees too
far for such windows, they overlap by an eighth of their side and seams are possible.

The picture and the result stay on the host, as integers; floats exist for one window at a time.
"""

import itertools
import math
import threading
from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from img2img.runtime.network.cores import Cores, for_each
from img2img.runtime.network.failures import BrokenOutput, OutOfMemory
from img2img.runtime.network.grid import AUTO, CONTEXT_ADVICE, Span, Tile, grids

if TYPE_CHECKING:
    from img2img.runtime.network.network import Network

__all__ = ["AUTO", "Tile", "run_tiled"]

Pixels = npt.NDArray[Any]  # uint8 or uint16
Floats = npt.NDArray[np.float32]

_STRIP = 1 << 18  # values converted at once: 1 MB of floats, which stays in a core's cache


def run_tiled(
    model: "Network",
    colour: Pixels,
    *,
    tile: Tile = AUTO,
    progress: Callable[[int], None] | None = None,
    note: Callable[[str], None] | None = None,
) -> Pixels:
    """Run a network over a picture of any size from 1x1 on; equal to one run over the whole picture.

    Args:
        model: the network to run.
        colour: uint8 or uint16 [H, W, C], C = 1 or 3. Grey runs as three equal channels and comes back as their mean.
        tile: see `Tile`. Tiles are rounded up to the card's `multiple` and evened out over the picture.
        progress: called after each tile with the number of input pixels that it finished; they add up to H * W. Once
            negative where memory ran out: these will be done again.
        note: called with one line for a person where memory ran out and fewer tiles at once, or smaller ones, are used.

    Returns:
        The type of `colour`, [H * scale, W * scale, C].

    Raises:
        UsageError: tiles are asked for and the network looks at the whole picture, or takes one size only; or `tile` is
            below 1.
        BrokenOutput: the network computed something that is not a number; nothing of it is returned.
        OutOfMemory: the result, or even the smallest tile, does not fit.
    """
    by_row, by_column = grids(model)
    limits = by_row.limit(tile), by_column.limit(tile)
    rows, columns = by_row.padded(colour.shape[0]), by_column.padded(colour.shape[1])
    canvas = _canvas(model, colour)
    together, cores = model.pixels_at_once, model.cores
    done = 0  # rows of the padded picture
    while True:
        across = by_column.spans(len(columns), limits[1], even=tile == AUTO)
        downwards = by_row.spans(len(rows), limits[0], done=done, even=tile == AUTO)
        if tile is not None:
            downwards = by_row.spread(len(rows), downwards, across, cores, done=done)
        sides = [span.stop - span.start for span in (across[0], downwards[0])]
        groups = _groups(across, together // math.prod(sides))
        tasks = list(itertools.product(range(len(downwards)), groups))
        finished = _Finished([len(groups)] * len(downwards), progress)
        one_pass = _Pass(model, colour, canvas, rows, columns, downwards, finished)
        try:
            for_each(one_pass.run, tasks, cores)
            return canvas
        except MemoryError as error:
            kept = finished.whole_rows()
            done = downwards[kept - 1].last if kept else done
            at_once = max(len(groups[0]), min(cores.count, len(tasks)))
            size = f"{sides[0]}x{sides[1]} pixels"
            if at_once > 1:
                if cores.count > 1:
                    limits = sides[1], sides[0]  # no larger than those that did not fit side by side
                together, cores = 0, Cores()
                said = f"{at_once} tiles of {size} at once; went on from row {done} with one at a time"
            else:
                half = by_row.halved(max(sides))
                if half is None:
                    unknown = by_row.is_foreign and by_row.context is None
                    raise OutOfMemory(
                        f"{error or 'out of memory'}, in a piece of {size};"
                        f" {CONTEXT_ADVICE if unknown else 'smaller ones cannot be'}"
                    ) from error
                limits = half, half
                said = f"tiles of {size}; went on from row {done} in tiles of {half}x{half}"
            finished.take_back(kept)
            if note is not None:
                note(f"out of memory in {said}")


@dataclass(frozen=True, slots=True)
class _Pass:
    """One way to cut a picture, and the runs that it takes. Threads share it.

    Attributes:
        rows, columns: where the rows and columns of the padded picture lie in the picture.
        downwards: the rows of tiles.
    """

    model: "Network"
    colour: Pixels
    canvas: Pixels
    rows: npt.NDArray[np.intp]
    columns: npt.NDArray[np.intp]
    downwards: list[Span]
    finished: "_Finished"

    def run(self, task: tuple[int, list[Span]]) -> None:
        """Run the network once, on tiles that lie beside each other: the number of their row, and their columns."""
        row, group = task
        down, (height, width) = self.downwards[row], self.colour.shape[:2]
        places = [self.columns[over.start : over.stop] for over in group]
        results = self.model.infer(_windows(self.colour, self.rows[down.start : down.stop], places))
        for result, over in zip(results, group, strict=True):
            _paste(self.model, result, down, over, self.canvas)
            self.finished.count(row, down.inside(height) * over.inside(width))
        self.finished.end(row)


class _Finished:
    """Counts what is finished of a picture, for progress and for going on after memory ran out. Threads share it.

    Args:
        runs: how many runs each row of tiles takes.
        progress: as `run_tiled` takes it; called from one thread at a time.
    """

    def __init__(self, runs: list[int], progress: Callable[[int], None] | None) -> None:
        self._missing = runs
        self._pixels = [0] * len(runs)
        self._progress = progress
        self._lock = threading.Lock()

    def count(self, row: int, pixels: int) -> None:
        """A tile in this row of tiles is in the result."""
        with self._lock:
            self._pixels[row] += pixels
            if self._progress is not None:
                self._progress(pixels)

    def end(self, row: int) -> None:
        """One of the runs of this row of tiles has ended."""
        with self._lock:
            self._missing[row] -= 1

    def whole_rows(self) -> int:
        """Rows of tiles from the top that are finished."""
        return sum(1 for _ in itertools.takewhile(lambda missing: missing == 0, self._missing))

    def take_back(self, first: int) -> None:
        """Rows of tiles from `first` on will be done again."""
        pixels = sum(self._pixels[first:])
        if self._progress is not None and pixels:
            self._progress(-pixels)


def _groups(spans: list[Span], largest: int) -> list[list[Span]]:
    """The spans in groups as even as can be, so that they have few sizes, of at most `largest` each (but one)."""
    count = math.ceil(len(spans) / max(1, largest))
    bounds = [len(spans) * number // count for number in range(count + 1)]
    return [spans[first:last] for first, last in itertools.pairwise(bounds)]


def _canvas(model: "Network", colour: Pixels) -> Pixels:
    height, width, channels = colour.shape
    scale = model.card.scale
    try:
        return np.empty((height * scale, width * scale, channels), colour.dtype)
    except MemoryError as error:
        raise OutOfMemory(f"no memory for a result of {width * scale}x{height * scale} pixels") from error


def _windows(colour: Pixels, rows: npt.NDArray[np.intp], places: list[npt.NDArray[np.intp]]) -> Floats:
    """float32 [N, 3, h, w] in 0..1 of these rows of the picture and N choices of its columns, of one length."""
    windows: Floats = np.empty((len(places), 3, len(rows), len(places[0])), np.float32)
    for window, columns in zip(windows, places, strict=True):
        if _runs(rows) and _runs(columns):  # a view; picking single pixels is needed in padding only
            piece = colour[rows[0] : rows[-1] + 1, columns[0] : columns[-1] + 1]
        else:
            piece = colour[rows[:, None], columns]
        # Grey is spread over the three channels by broadcasting.
        np.divide(piece.transpose(2, 0, 1), np.float32(np.iinfo(colour.dtype).max), out=window, dtype=np.float32)
    return windows


def _runs(indices: npt.NDArray[np.intp]) -> bool:
    """Whether the indices count upwards one by one, without a reflection among them."""
    return int(indices[-1]) - int(indices[0]) == len(indices) - 1


def _paste(model: "Network", result: Floats, down: Span, over: Span, canvas: Pixels) -> None:
    """Round the good part of a window's result into the canvas.

    result: float32 [3, h * scale, w * scale], nominally 0..1. Values are rounded to the nearest step and clamped.
    """
    scale, levels = model.card.scale, np.float32(np.iinfo(canvas.dtype).max)
    top, left = down.first * scale, over.first * scale
    bottom, right = min(down.last * scale, canvas.shape[0]), min(over.last * scale, canvas.shape[1])
    if bottom <= top or right <= left:  # nothing but padding
        return
    shift_y, shift_x = down.start * scale, over.start * scale
    step = max(1, _STRIP // (3 * (right - left)))
    for first in range(top, bottom, step):
        last = min(first + step, bottom)
        values = result[:, first - shift_y : last - shift_y, left - shift_x : right - shift_x] * levels
        # The sum is the cheapest look at every value: one that is not a number, or infinite, makes it so.
        if not math.isfinite(values.sum()):
            raise BrokenOutput(
                f"{model.path}: its result near pixel {left // scale}, {first // scale} is not a number (NaN) or"
                " infinite; in a half-precision model values may have overflowed"
            )
        if canvas.shape[2] == 1:
            values = values.mean(axis=0, keepdims=True)
        np.rint(values, out=values)
        np.clip(values, 0, levels, out=values)
        for channel, plane in enumerate(values):
            canvas[first:last, left:right, channel] = plane
