"""Runs a network on a picture of any size, in tiles, with the same result as one run over the whole picture.

A tile is computed from a window: the tile and `context` real pixels on each side. Windows stay inside the picture. A
window therefore has a border only where the picture has one, and the network's behaviour at borders (zero padding,
clamped resizing) occurs in the same places as in one run over the whole picture.

On the CPU, tiled and whole results are equal bit by bit, because onnxruntime's blocked convolutions add in the same
order for any window. Two exceptions are known. Both are far below one step of 255, so only a value at a tie may round
differently:
- A convolution outside the blocked layout (its input has 17 or more channels, not a multiple of 16, and comes directly
  from an operator such as SpaceToDepth) with more than 128 weights per output splits its sum by the number of output
  pixels per thread, if that is below about 128: 3e-7 of the range, in tiny pictures and tiles.
- A linear resize inside the network by a factor that is not a power of two rounds its coordinates: 4e-6.

A network that accepts one input size runs in windows of that size. If its context is unknown or too large for such
windows, they overlap by an eighth of their side, and seams are possible.

The picture and the result stay on the host as integers. Floats exist for one window at a time.
"""

import itertools
import math
import threading
from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from img2img.runtime.network.grid import AUTO, CONTEXT_ADVICE, Span, Tile, grids
from img2img.runtime.network.inference_errors import BrokenOutput, OutOfMemory
from img2img.threads import Cores, for_each

if TYPE_CHECKING:
    from img2img.runtime.network.network import Network

__all__ = ["AUTO", "Progress", "Tile", "rescaled", "run_tiled"]

Pixels = npt.NDArray[Any]  # uint8 or uint16
Floats = npt.NDArray[np.float32]
Progress = Callable[[int], None]
"""Called with a number of pixels that have just been finished."""

_STRIP = 1 << 18  # number of values converted at once: 1 MB of floats, which fits the cache of a core


def run_tiled(
    model: "Network",
    colour: Pixels,
    *,
    tile: Tile = AUTO,
    progress: Progress | None = None,
    note: Callable[[str], None] | None = None,
) -> Pixels:
    """Run a network on a picture of any size from 1x1. The result equals that of one run over the whole picture.

    Args:
        model: the network to run.
        colour: uint8 or uint16 [H, W, C], C = 1 or 3. Grey runs as three equal channels, and the mean of the result's
            channels is returned.
        tile: see `Tile`. Tiles are rounded up to the card's `multiple` and distributed evenly over the picture.
        progress: called after each tile with the number of input pixels that it finished; they add up to H * W. A
            negative number means that memory ran out and these pixels will be repeated.
        note: called with one line for the user if memory runs out and smaller tiles, or fewer at once, are used.

    Returns:
        [H * scale, W * scale, C], of the same type as `colour`.

    Raises:
        UsageError: tiles are requested for a network that needs the whole picture or accepts one input size only, or
            `tile` is below 1.
        BrokenOutput: the network computed NaN or infinity.
        OutOfMemory: the result, or even the smallest tile, does not fit.
    """
    by_row, by_column = grids(model)
    limits = by_row.limit(tile), by_column.limit(tile)
    rows, columns = by_row.padded_indices(colour.shape[0]), by_column.padded_indices(colour.shape[1])
    canvas = _canvas(model, colour)
    pixels_at_once, cores = model.pixels_at_once, model.cores
    done = 0  # finished rows of the padded picture
    while True:
        across = by_column.spans(len(columns), limits[1], even=tile == AUTO)
        downwards = by_row.spans(len(rows), limits[0], done=done, even=tile == AUTO)
        if tile is not None:
            downwards = by_row.spread(len(rows), downwards, across, cores, done=done)
        sides = [span.stop - span.start for span in (across[0], downwards[0])]
        groups = _groups(across, pixels_at_once // math.prod(sides))
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
                    limits = sides[1], sides[0]  # keep the size of the windows that did not fit side by side
                fewer = at_once // 2
                pixels_at_once, cores = 0, Cores(fewer, split=cores.split)
                now = "one tile" if fewer == 1 else f"{fewer} tiles"
                change = f"{at_once} tiles of {size} at once; continued at row {done} with {now} at a time"
            else:
                half = by_row.half_window(max(sides))
                if half is None:
                    unknown = by_row.is_foreign and by_row.context is None
                    raise OutOfMemory(
                        f"{error or 'out of memory'}, in a tile of {size};"
                        f" {CONTEXT_ADVICE if unknown else 'smaller tiles are not possible'}"
                    ) from error
                limits = half, half
                change = f"tiles of {size}; continued at row {done} with tiles of {half}x{half}"
            finished.take_back(kept)
            if note is not None:
                note(f"out of memory with {change}")


def rescaled(progress: Progress, work: int, shown: int) -> Progress:
    """Return a callback for work of `work` pixels that reports `shown` pixels in total to `progress`.

    Fractions of a pixel are carried over to the next report. Negative reports (work that must be repeated) work, too.
    """
    done = reported = 0

    def report(pixels: int) -> None:
        nonlocal done, reported
        done += pixels
        now = done * shown // work
        progress(now - reported)
        reported = now

    return report


@dataclass(frozen=True, slots=True)
class _Pass:
    """Runs the network on a picture that is cut in one way. Threads share it.

    Attributes:
        rows, columns: for each row and column of the padded picture, its index in the picture.
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
        """Run the network once, on adjacent tiles: the number of their row of tiles, and their columns."""
        row, group = task
        down, (height, width) = self.downwards[row], self.colour.shape[:2]
        places = [self.columns[over.start : over.stop] for over in group]
        results = self.model.infer(_windows(self.colour, self.rows[down.start : down.stop], places))
        for result, over in zip(results, group, strict=True):
            _paste(self.model, result, down, over, self.canvas)
            self.finished.count(row, down.inside(height) * over.inside(width))
        self.finished.end(row)


class _Finished:
    """Counts the finished tiles of a picture, for progress and to continue after memory ran out. Threads share it.

    Args:
        runs: number of runs for each row of tiles.
        progress: see `run_tiled`; called from one thread at a time.
    """

    def __init__(self, runs: list[int], progress: Progress | None) -> None:
        self._missing = runs
        self._pixels = [0] * len(runs)
        self._progress = progress
        self._lock = threading.Lock()

    def count(self, row: int, pixels: int) -> None:
        """A tile in this row of tiles has been copied to the result."""
        with self._lock:
            self._pixels[row] += pixels
            if self._progress is not None:
                self._progress(pixels)

    def end(self, row: int) -> None:
        """One of the runs of this row of tiles has ended."""
        with self._lock:
            self._missing[row] -= 1

    def whole_rows(self) -> int:
        """Number of finished rows of tiles, counted from the top."""
        return sum(1 for _ in itertools.takewhile(lambda missing: missing == 0, self._missing))

    def take_back(self, first: int) -> None:
        """The rows of tiles from `first` on will be repeated: withdraw their pixels from the progress."""
        pixels = sum(self._pixels[first:])
        if self._progress is not None and pixels:
            self._progress(-pixels)


def _groups(spans: list[Span], largest: int) -> list[list[Span]]:
    """Split the spans into groups of at most `largest` (at least 1) and of nearly equal size, so few sizes occur."""
    count = math.ceil(len(spans) / max(1, largest))
    bounds = [len(spans) * number // count for number in range(count + 1)]
    return [spans[first:last] for first, last in itertools.pairwise(bounds)]


def _canvas(model: "Network", colour: Pixels) -> Pixels:
    height, width, channels = colour.shape
    scale = model.card.scale
    try:
        return np.empty((height * scale, width * scale, channels), colour.dtype)
    except MemoryError as error:
        raise OutOfMemory(f"not enough memory for a result of {width * scale}x{height * scale} pixels") from error


def _windows(colour: Pixels, rows: npt.NDArray[np.intp], places: list[npt.NDArray[np.intp]]) -> Floats:
    """Cut N windows of one size out of the picture: float32 [N, 3, h, w] in 0..1.

    rows: the rows of all windows; places: the columns of each window.
    """
    windows: Floats = np.empty((len(places), 3, len(rows), len(places[0])), np.float32)
    for window, columns in zip(windows, places, strict=True):
        if _is_contiguous(rows) and _is_contiguous(columns):  # use a view; only padding needs single pixels
            piece = colour[rows[0] : rows[-1] + 1, columns[0] : columns[-1] + 1]
        else:
            piece = colour[rows[:, None], columns]
        # Broadcasting copies grey to the three channels.
        np.divide(piece.transpose(2, 0, 1), np.float32(np.iinfo(colour.dtype).max), out=window, dtype=np.float32)
    return windows


def _is_contiguous(indices: npt.NDArray[np.intp]) -> bool:
    """Whether the indices increase by one, without a reflection."""
    return int(indices[-1]) - int(indices[0]) == len(indices) - 1


def _paste(model: "Network", result: Floats, down: Span, over: Span, canvas: Pixels) -> None:
    """Copy the tile of a window's result into the canvas.

    result: float32 [3, h * scale, w * scale], nominally 0..1. Values are rounded to the nearest step and clamped.
    """
    scale, levels = model.card.scale, np.float32(np.iinfo(canvas.dtype).max)
    top, left = down.first * scale, over.first * scale
    bottom, right = min(down.last * scale, canvas.shape[0]), min(over.last * scale, canvas.shape[1])
    if bottom <= top or right <= left:  # the tile contains only padding
        return
    shift_y, shift_x = down.start * scale, over.start * scale
    step = max(1, _STRIP // (3 * (right - left)))
    for first in range(top, bottom, step):
        last = min(first + step, bottom)
        values = result[:, first - shift_y : last - shift_y, left - shift_x : right - shift_x] * levels
        # The sum is the cheapest check of all values: a single NaN or infinity makes it NaN or infinite.
        if not math.isfinite(values.sum()):
            raise BrokenOutput(
                f"{model.path}: its result near pixel {left // scale}, {first // scale} is NaN or infinite; in a"
                " half-precision model, values may have overflowed"
            )
        if canvas.shape[2] == 1:
            values = values.mean(axis=0, keepdims=True)
        np.rint(values, out=values)
        np.clip(values, 0, levels, out=values)
        for channel, plane in enumerate(values):
            canvas[first:last, left:right, channel] = plane
