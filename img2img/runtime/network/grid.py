"""Where the windows of a tiled run lie: arithmetic on lengths, no pixels. See `tiling` for why."""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

import numpy as np
import numpy.typing as npt

from img2img.errors import UsageError
from img2img.runtime.network.card import Card
from img2img.runtime.network.cores import Cores

if TYPE_CHECKING:
    from img2img.runtime.network.network import Network

Tile = int | Literal["auto"] | None
"""How a picture is cut: "auto", the side of a tile in pixels without its context, or None: not at all."""

AUTO: Literal["auto"] = "auto"

CONTEXT_ADVICE = "--assume context=N allows tiles (N: the pixels around a tile that its result depends on)"

_SIDE, _LARGEST_SIDE = 512, 1024
_QUANTUM = 16
_SMALLEST_HALF = 16  # below such tiles nothing is left to gain from smaller ones
_SMALLEST_OVERLAP = 8

# N threads on one convolution after the other take 1 / N ** 0.77 of the time of one thread: 0.59 for two.
_GAIN_OF_THREADS = 0.77
_COST_OF_A_RUN = 2000  # what a run costs beside its pixels, in pixels
_WORTH_IT = 0.97  # share of the cost below which other windows are taken


@dataclass(frozen=True, slots=True)
class Span:
    """One window along one axis of the picture, in pixels: it reads [start, stop) and is good for [first, last)."""

    start: int
    stop: int
    first: int
    last: int

    def inside(self, length: int) -> int:
        """Pixels of the good part that lie in a picture of this length, and not in its padding."""
        return max(0, min(self.last, length) - self.first)


class Grid:
    """The rules of one network along one axis: every length here is a multiple of `multiple`.

    Args:
        fixed: the only side of a window that the network takes, a multiple of the card's; None: it takes any.
        is_foreign: the card was made up, so that a context of None means "unknown".

    Attributes:
        is_exact: tiles give the result of one run over the whole picture. Not so where a fixed side forces tiles upon
            a network that sees further than they allow, or nobody knows how far.
    """

    def __init__(self, card: Card, *, fixed: int | None = None, is_foreign: bool = False) -> None:
        self.name = card.name
        self.multiple = card.multiple
        self.fixed = fixed
        self.is_foreign = is_foreign
        self.is_exact = True
        self.minimum = up(fixed or card.minimum, card.multiple)
        self.context = None if card.context is None else up(card.context, card.multiple)
        # A tile of less than a quarter of its window costs 16 times the work of the whole: better a seam.
        if fixed is not None and (self.context is None or fixed - 2 * self.context < fixed / 4):
            self.is_exact = False
            overlap = up(max(_SMALLEST_OVERLAP, fixed // 8), self.multiple)
            self.context = min(overlap, fixed // 4 // self.multiple * self.multiple)

    def limit(self, tile: Tile) -> int | None:
        """Largest side of a window, context included; None: as large as the picture.

        Raises:
            UsageError: tiles for a network that looks at the whole picture, or that takes one size only; `tile` below
                1.
        """
        if tile is not None and tile != AUTO and tile < 1:
            raise UsageError(f"a tile must be at least 1 pixel large, not {tile}")
        if self.fixed is not None:
            if tile is not None and tile != AUTO:
                raise UsageError(f"{self.name} takes pieces of one size only, {self.fixed} pixels: leave --tile away")
            return self.fixed
        if tile is None or (tile == AUTO and self.context is None):
            return None
        if self.context is None:
            if self.is_foreign:
                raise UsageError(f"{self.name} has no card that says how far it sees: {CONTEXT_ADVICE}")
            raise UsageError(
                f"{self.name} cannot be run in tiles: every pixel of its result depends on the whole picture"
                " (a norm over the picture, for example)"
            )
        if tile != AUTO:
            return max(up(tile, self.multiple) + 2 * self.context, self.minimum)
        # On the CPU a pixel costs the same in windows of 64 to 768 pixels, so the size follows from two other things:
        # the context is computed twice, (side / (side - 2 context))^2, and memory grows with side^2. 512 pixels with
        # 48 features, 10 layers, x4: 1.08 times the work, 170 MB (384: 1.11 times, 100 MB), and pictures of up to
        # 512x512 run whole. Deep networks get windows of 11 contexts (1.5 times the work) as far as memory allows,
        # and never less than 4 contexts (4 times the work).
        side = max(_SIDE, min(11 * self.context, _LARGEST_SIDE), 4 * self.context, self.minimum)
        return up(side, up(_QUANTUM, self.multiple))

    def halved(self, side: int) -> int | None:
        """The largest side of a window whose tile is half that of a window of `side`; None: there is none."""
        if self.context is None or self.fixed is not None:
            return None
        half = up((side - 2 * self.context) // 2, self.multiple)
        limit = max(half + 2 * self.context, self.minimum)
        return limit if half >= _SMALLEST_HALF and limit < side else None

    def spans(self, length: int, limit: int | None, *, done: int = 0, even: bool = False) -> list[Span]:
        """Windows of one size that are good for [done, length) together.

        The size is the smallest that does with as few windows as `limit` allows: a picture a little larger than a
        window becomes two halves, not a window and a sliver. `even` rounds it up to steps, so that pictures of many
        sizes have few shapes of windows (CUDA prepares each one anew).
        """
        if limit is None or limit >= length:
            return [Span(0, length, done, length)] if done < length else []
        context = self.context or 0
        reach = length - max(0, done - context)
        count = max(1, math.ceil((reach - 2 * context) / (limit - 2 * context)))
        size = math.ceil((reach + 2 * context * (count - 1)) / count)
        size = max(up(size, up(_QUANTUM if even else 1, self.multiple)), 2 * context + self.multiple, self.minimum)
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
        """The same rows in more and lower windows, if that keeps more of the cores at work; else `spans`.

        `across` are the windows of each row. A picture of one window becomes one band per core, for example: on two
        cores that takes 0.8 to 0.95 of the time of one run that splits each convolution over both.
        """
        count = cores.within_reach
        if count == 1 or self.context is None or self.fixed is not None or not spans:
            return spans
        width = across[0].stop - across[0].start

        def cost(candidate: list[Span]) -> float:
            rounds, rest = divmod(len(candidate) * len(across), count)
            pixels = width * (candidate[0].stop - candidate[0].start) + _COST_OF_A_RUN
            # A last round with fewer windows than cores: idle cores can take part in each run, or not.
            last = (rest / count) ** _GAIN_OF_THREADS if cores.split else float(rest > 0)
            return pixels * (rounds + last)

        reach = length - max(0, done - self.context)
        best, least = spans, cost(spans) * _WORTH_IT
        for number in range(len(spans) + 1, len(spans) + 2 * count + 1):
            size = up(math.ceil((reach + 2 * self.context * (number - 1)) / number), self.multiple)
            limit = max(size, 2 * self.context + self.multiple, self.minimum)
            candidate = self.spans(length, limit, done=done)
            if cost(candidate) < least:
                best, least = candidate, cost(candidate)
        return best

    def padded(self, length: int) -> npt.NDArray[np.intp]:
        """Which row (or column) of a picture of `length` stands at each row of the padded picture.

        Padding is at the end only: a reflection that does not repeat the border, to and fro where the picture is
        smaller than its padding (as NumPy's pad does it), so that even one pixel can be padded.
        """
        at = np.arange(max(up(length, self.multiple), self.minimum))
        if length == 1:
            return np.zeros_like(at)
        at %= 2 * (length - 1)
        return np.minimum(at, 2 * (length - 1) - at)


def grids(network: "Network") -> tuple[Grid, Grid]:
    """The rules for a network's rows (heights) and for its columns (widths)."""
    height, width = network.fixed or (None, None)
    by_row, by_column = (Grid(network.card, fixed=side, is_foreign=network.is_foreign) for side in (height, width))
    return by_row, by_column


def up(number: int, multiple: int) -> int:
    """The smallest multiple of `multiple` that is not below `number`."""
    return -(-number // multiple) * multiple
