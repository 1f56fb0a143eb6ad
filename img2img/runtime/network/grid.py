"""Computes the positions of tiles and their windows, from lengths only. `tiling` explains the method."""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

import numpy as np
import numpy.typing as npt

from img2img.errors import UsageError
from img2img.runtime.network.card import Card
from img2img.text import parse_side
from img2img.threads import Cores

if TYPE_CHECKING:
    from img2img.runtime.network.network import Network

Tile = int | Literal["auto"] | None
"""Tile size: "auto", the side of a tile in pixels without its context, or None to run the whole picture at once."""

AUTO: Literal["auto"] = "auto"


def parse_tile(text: str) -> Tile:
    """The value of --tile: auto, none, or a side. Raises UsageError."""
    if text in ("auto", "none"):
        return AUTO if text == "auto" else None
    return parse_side(text, "--tile", "auto, none")


CONTEXT_ADVICE = "--assume context=N allows tiles (N: number of pixels around a tile that affect its result)"

# Sides of automatic windows, in pixels: of a picture that fits into one, of others, and the largest.
_SIDE, _SIDE_OF_MANY, _LARGEST_SIDE = 512, 368, 1024
_SIDE_STEP = 16
_SMALLEST_HALF = 16  # smaller tiles save no memory
_SMALLEST_OVERLAP = 8

# If N threads share each convolution, a run takes 1 / N ** 0.77 of the time of one thread: 0.59 for two.
_GAIN_OF_THREADS = 0.77
_COST_OF_A_RUN = 2000  # fixed cost of a run, in pixels
_WORTH_IT = 0.97  # other windows must cost less than this share of the original cost


@dataclass(frozen=True, slots=True)
class Span:
    """One window along one axis of the picture, in pixels: reads [start, stop) and yields the tile [first, last)."""

    start: int
    stop: int
    first: int
    last: int

    def inside(self, length: int) -> int:
        """Number of pixels of the tile that lie inside a picture of this length, not in its padding."""
        return max(0, min(self.last, length) - self.first)


class Grid:
    """Cuts one axis of a picture into windows for one network. All lengths are multiples of the card's `multiple`.

    Args:
        fixed: the only window side that the network accepts, a multiple of the card's `multiple`; None: any side.
        is_foreign: the card was derived by probing, so a context of None means "unknown".

    Attributes:
        is_exact: tiles give the same result as one run over the whole picture. False if a fixed side forces tiles on a
            network whose context is unknown or too large for them.
    """

    def __init__(self, card: Card, *, fixed: int | None = None, is_foreign: bool = False) -> None:
        self.name = card.name
        self.multiple = card.multiple
        self.fixed = fixed
        self.is_foreign = is_foreign
        self.is_exact = True
        self.minimum = round_up(fixed or card.minimum, card.multiple)
        self.context = None if card.context is None else round_up(card.context, card.multiple)
        # If a tile is less than a quarter of its window, tiling takes 16 times the work. A seam is better then.
        if fixed is not None and (self.context is None or fixed - 2 * self.context < fixed / 4):
            self.is_exact = False
            overlap = round_up(max(_SMALLEST_OVERLAP, fixed // 8), self.multiple)
            self.context = min(overlap, fixed // 4 // self.multiple * self.multiple)

    def limit(self, tile: Tile) -> int | None:
        """Largest side of a window, including its context; None: the whole picture.

        Raises:
            UsageError: `tile` is given for a network that needs the whole picture or takes one size only, or is below
                1.
        """
        if tile is not None and tile != AUTO and tile < 1:
            raise UsageError(f"a tile must be at least 1 pixel large, not {tile}")
        if self.fixed is not None:
            if tile is not None and tile != AUTO:
                raise UsageError(f"{self.name} takes tiles of one size only, {self.fixed} pixels: omit --tile")
            return self.fixed
        if tile is None or (tile == AUTO and self.context is None):
            return None
        if self.context is None:
            if self.is_foreign:
                raise UsageError(f"{self.name} has no card with its context, so it cannot use tiles: {CONTEXT_ADVICE}")
            raise UsageError(
                f"{self.name} cannot use tiles: every pixel of its result depends on the whole picture"
                " (for example, through a norm over the picture)"
            )
        if tile != AUTO:
            return max(round_up(tile, self.multiple) + 2 * self.context, self.minimum)
        return self._automatic(_SIDE)

    def _automatic(self, side: int) -> int:
        """`side`, or more for networks with a large context."""
        # On the CPU, a pixel costs the same in windows of 64 to 768 pixels. Two other effects decide the size: context
        # is computed more than once, (side / (side - 2 context))^2, and memory grows with side^2 for each core.
        # Pictures of up to 512x512 run whole. With 48 features, 10 layers, x4, on two cores, larger ones take 340 MB
        # and 1.10 times the work in windows of 512 pixels, 190 MB and 1.14 times the work in windows of 368. Deep
        # networks get windows of 11 contexts (1.5 times the work) as far as memory allows, and never less than 4
        # contexts (4 times the work).
        context = self.context or 0
        side = max(side, min(11 * context, _LARGEST_SIDE), 4 * context, self.minimum)
        return round_up(side, round_up(_SIDE_STEP, self.multiple))

    def half_window(self, side: int) -> int | None:
        """Largest side of a window whose tile is half as large as that of a window of `side`; None if too small."""
        if self.context is None or self.fixed is not None:
            return None
        half = round_up((side - 2 * self.context) // 2, self.multiple)
        limit = max(half + 2 * self.context, self.minimum)
        return limit if half >= _SMALLEST_HALF and limit < side else None

    def spans(self, length: int, limit: int | None, *, done: int = 0, even: bool = False) -> list[Span]:
        """Windows of one size whose tiles cover [done, length).

        There are as few windows as `limit` allows, of the smallest size that suffices: a picture slightly larger than
        a window becomes two halves, not a window and a sliver. `even`, for automatic tiles, makes windows smaller if
        there are several, and rounds their size up to steps of 16, so that pictures of many sizes share a few window
        shapes (CUDA prepares each shape separately).
        """
        if limit is None or limit >= length:
            return [Span(0, length, done, length)] if done < length else []
        context = self.context or 0
        if even:
            limit = min(limit, self._automatic(_SIDE_OF_MANY))
        reach = length - max(0, done - context)
        count = max(1, math.ceil((reach - 2 * context) / (limit - 2 * context)))
        size = math.ceil((reach + 2 * context * (count - 1)) / count)
        step = round_up(_SIDE_STEP if even else 1, self.multiple)
        size = max(round_up(size, step), 2 * context + self.multiple, self.minimum)
        size = self.fixed or min(size, limit)
        spans = []
        while done < length:
            start = min(max(0, done - context), length - size)
            last = length if start + size == length else start + size - context
            spans.append(Span(start, start + size, done, last))
            done = last
        return spans

    def spread(
        self, length: int, spans: list[Span], across: Sequence[Span], cores: Cores, *, done: int = 0
    ) -> list[Span]:
        """Cut the same rows into more and lower windows if that keeps more cores busy; otherwise return `spans`.

        across: the windows of each row.
        For example, a picture of one window becomes one band per core. On two cores, this takes 0.8 to 0.95 of the time
        of one run that splits each convolution over both.
        """
        count = cores.within_reach
        if count == 1 or self.context is None or self.fixed is not None or not spans:
            return spans
        width = across[0].stop - across[0].start

        def cost(candidate: list[Span]) -> float:
            rounds, rest = divmod(len(candidate) * len(across), count)
            pixels = width * (candidate[0].stop - candidate[0].start) + _COST_OF_A_RUN
            # The last round may have fewer windows than cores. With `split`, idle cores take part in its runs.
            last = (rest / count) ** _GAIN_OF_THREADS if cores.split else float(rest > 0)
            return pixels * (rounds + last)

        reach = length - max(0, done - self.context)
        best, least = spans, cost(spans) * _WORTH_IT
        for number in range(len(spans) + 1, len(spans) + 2 * count + 1):
            size = round_up(math.ceil((reach + 2 * self.context * (number - 1)) / number), self.multiple)
            limit = max(size, 2 * self.context + self.multiple, self.minimum)
            candidate = self.spans(length, limit, done=done)
            if cost(candidate) < least:
                best, least = candidate, cost(candidate)
        return best

    def tiles_beat_threads(self, cores: int) -> bool:
        """Whether N cores finish a picture sooner with tiles side by side than with runs that each use all cores.

        The answer is for a picture of one automatic window; larger pictures gain more from tiles. Networks with a small
        context gain: measured on two cores, tiles take 0.8 to 0.95 of the time. Deep networks compute too much context.
        """
        side = self.limit(AUTO)
        if cores == 1 or side is None or self.fixed is not None:
            return False
        window = [Span(0, side, 0, side)]
        bands = self.spread(side, window, window, Cores(cores, split=False))
        apart = math.ceil(len(bands) / cores) * (side * (bands[0].stop - bands[0].start) + _COST_OF_A_RUN)
        together = (side * side + _COST_OF_A_RUN) / math.pow(cores, _GAIN_OF_THREADS)
        return apart < together

    def padded_indices(self, length: int) -> npt.NDArray[np.intp]:
        """For each row (or column) of the padded picture, the index of the row of the picture, which has `length` rows.

        Only the end is padded, by a reflection that does not repeat the border. If the picture is smaller than its
        padding, it is reflected back and forth (like NumPy's pad), so even one pixel can be padded.
        """
        at = np.arange(max(round_up(length, self.multiple), self.minimum))
        if length == 1:
            return np.zeros_like(at)
        at %= 2 * (length - 1)
        return np.minimum(at, 2 * (length - 1) - at)


def grids(network: "Network") -> tuple[Grid, Grid]:
    """The grids for a network's rows (heights) and for its columns (widths)."""
    height, width = network.fixed or (None, None)
    by_row, by_column = (Grid(network.card, fixed=side, is_foreign=network.is_foreign) for side in (height, width))
    return by_row, by_column


def round_up(number: int, multiple: int) -> int:
    """The smallest multiple of `multiple` that is at least `number`."""
    return -(-number // multiple) * multiple
