"""Finds, for every place in a hole, the known patch that fits there, from coarse to fine."""

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn import functional as F

PATCH = 7
"""Side of a patch in pixels of its level."""
RADIUS = PATCH // 2

SIDES = (32, 64, 128, 256)
"""Sides of the levels in pixels. Each one halves the next."""
DENSE = 2
"""Number of levels on which every patch is compared with all others. Finer levels try the offsets of neighbours."""
ITERATIONS = (10, 3, 2, 1)
"""How often each level searches and then averages what the patches propose."""
REACH = (1, 2, 4, 1)
"""Distances in pixels to the neighbours whose offsets are tried, in this order."""

GUIDE = 5
"""Factor for the colours of the coarse picture where all patches are compared. They count GUIDE^2 / PATCH^2 = 0.5 of a
patch."""
WEAK_GUIDE = 2
"""The same on the finer levels, where the patches themselves know more."""
GUIDE_SIDE = 32
"""Side in pixels to which the coarse picture is reduced when it guides the search, because its detail is not real."""
COHERENCE = 1.1
"""The offset of a neighbour wins although it is up to this factor worse, so that large pieces are copied whole."""
USE = 0.05 * 255**2
"""Cost of each earlier use of a patch, so that no patch fills a hole alone (Simakov et al. 2008 ask for as much)."""
LEAST_TRUST = 2
"""Weight of a patch in the hole. Every known pixel in a patch adds 1, so that known borders decide what grows inwards
(Wexler, Shechtman and Irani 2007, section 3.1, do the same with distances)."""
UNKNOWN = 1e4 * 255**2
"""Cost of a patch that is all hole. A patch with fewer unknown pixels costs less, and one without any nothing."""


@dataclass(frozen=True)
class Level:
    """One level of the pyramid. Pictures hold whole numbers from 0 to 255, so that sums are exact on every machine.

    Attributes:
        image: `[N, 3, S, S]`, the coarse picture in the hole.
        hole: `[N, 1, S, S]`, 1 = fill.
        guide: `[N, 3, S, S]`, the smoothed coarse picture.
    """

    image: Tensor
    hole: Tensor
    guide: Tensor


def search(levels: Sequence[Level]) -> Tensor:
    """Find the source of every pixel of the finest level.

    Alternates between the nearest known patch for each place and the average of what overlapping patches propose for
    each pixel (Wexler, Shechtman and Irani 2007, section 3), from the coarsest level to the finest. Two additions keep
    the fill in shape: the colours of a coarse picture guide the search, and a patch that is used often becomes dearer.
    Neighbours propose their offsets as in PatchMatch (Barnes et al. 2009, section 3.2), but nothing is random.

    Args:
        levels: coarsest first. Each has twice the side of the one before.

    Returns:
        int64 `[N, S, S]`: for each pixel of the finest level, the index `y * S + x` of the centre of its source patch.
        Pixels further than `RADIUS` from the hole are their own source.
    """
    n, _, side, _ = levels[0].image.shape
    grid = torch.arange((side // 2) ** 2, device=levels[0].image.device)
    sources = grid.reshape(1, side // 2, side // 2).expand(n, -1, -1)  # everything is its own source
    for number, level in enumerate(levels):
        step = search_everywhere if number < DENSE else propagate
        sources = step(level.image, level.hole, level.guide, sources, ITERATIONS[number])
    return sources


@torch.library.custom_op("img2img::search_everywhere", mutates_args=())
def search_everywhere(image: Tensor, hole: Tensor, guide: Tensor, coarser: Tensor, iterations: int) -> Tensor:
    """One level of `search` that compares every patch with all others. `coarser`: the sources of the level before.

    A custom operator, because the exporter would need minutes for the loops; `exchange.patch_search` has its ONNX form.
    """
    places = _Places(image, hole)
    own = _features(image, guide * GUIDE)
    cost = own.square().sum(1) + places.unknown
    sources = places.inherit(coarser)
    uses = torch.zeros_like(cost)
    once = torch.ones_like(places.touched, dtype=cost.dtype)
    for _ in range(iterations):
        features = _features(places.average(sources), guide * GUIDE)
        sources = _nearest(features, own, cost + USE * uses, places.area)
        uses = uses.scatter_add(0, sources[places.touched], once)
    return places.in_pictures(sources)


@torch.library.custom_op("img2img::propagate", mutates_args=())
def propagate(image: Tensor, hole: Tensor, guide: Tensor, coarser: Tensor, iterations: int) -> Tensor:
    """One level of `search` on which patches only try the offsets of their neighbours. See `search_everywhere`."""
    places = _Places(image, hole)
    own = _features(image, guide * WEAK_GUIDE)
    cost = own.square().sum(1) + places.unknown
    sources = places.inherit(coarser)
    for _ in range(iterations):
        features = _features(places.average(sources), guide * WEAK_GUIDE)
        for reach in REACH:
            sources = places.try_neighbours(sources, reach, features, own, cost)
    return places.in_pictures(sources)


@search_everywhere.register_fake
@propagate.register_fake
def _shape_only(image: Tensor, hole: Tensor, guide: Tensor, coarser: Tensor, iterations: int) -> Tensor:
    return image.new_empty((image.shape[0], *image.shape[2:]), dtype=torch.int64)


class _Places:
    """Indices of the pixels of a level, `n * S * S + y * S + x`, and what happens at them.

    Attributes:
        pixels: `[N * S * S, 3]`, the known colours, and the coarse picture in the hole.
        every: all indices.
        touched: the centres of patches that touch the hole.
        unknown: `[N * S * S]`, the cost of the unknown pixels of each patch.
        inside: the pixels in the hole, three times, `[pixels, 3]`.
        around: `[pixels, 49]`, the patches over each of them.
        counted: `[pixels, 49, 1]`, their weights. 0 for those outside the picture.
    """

    def __init__(self, image: Tensor, hole: Tensor) -> None:
        self.side = image.shape[-1]
        self.area = self.side**2
        self.pixels = image.permute(0, 2, 3, 1).reshape(-1, 3)
        self.every = torch.arange(self.pixels.shape[0], device=self.pixels.device)
        self.touched = (F.max_pool2d(hole, PATCH, 1, RADIUS).flatten() > 0).nonzero()[:, 0]
        # Outside the picture, everything is unknown.
        framed = F.pad(hole, (RADIUS,) * 4, value=1.0)
        self.unknown = UNKNOWN * F.avg_pool2d(framed, PATCH, 1).flatten()
        offsets = torch.arange(-RADIUS, RADIUS + 1, device=hole.device)
        self.down, self.right = offsets.repeat_interleave(PATCH), offsets.repeat(PATCH)
        self.directions = torch.tensor(((0, 0, 0, 1, -1), (0, 1, -1, 0, 0)), device=hole.device)
        self.reluctance = torch.tensor((COHERENCE, 1, 1, 1, 1), dtype=hole.dtype, device=hole.device)[:, None]
        inside = (hole.flatten() > 0).nonzero()
        start, row, column = self._split(inside)
        y, x = row - self.down, column - self.right
        within = (y >= 0) & (y < self.side) & (x >= 0) & (x < self.side)
        self.around = self._join(start, y, x)
        trust = LEAST_TRUST + F.avg_pool2d(1 - hole, PATCH, 1, RADIUS, divisor_override=1).flatten()
        self.counted = (trust[self.around] * within)[:, :, None]
        self.inside = inside.expand(-1, 3)

    def _split(self, index: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """The start of the picture that each index belongs to, and its row and column."""
        place = index % self.area
        return index - place, place // self.side, place % self.side

    def _join(self, start: Tensor, row: Tensor, column: Tensor) -> Tensor:
        """The index of a row and a column, which are moved into the picture."""
        last = self.side - 1
        return start + row.clamp(0, last) * self.side + column.clamp(0, last)

    def inherit(self, coarser: Tensor) -> Tensor:
        """Sources from those of the coarser level `[N, S / 2, S / 2]`: each patch keeps the offset of its parent."""
        half = self.side // 2
        start, row, column = self._split(self.touched)
        place = coarser.flatten()[start // 4 + row // 2 * half + column // 2]
        found = self._join(start, place // half * 2 + row % 2, place % half * 2 + column % 2)
        return self.every.scatter(0, self.touched, found)

    def try_neighbours(self, sources: Tensor, reach: int, features: Tensor, own: Tensor, cost: Tensor) -> Tensor:
        """Try the offsets of four neighbours at a distance of `reach` pixels for each patch that touches the hole."""
        wanted = features[self.touched]
        start, row, column = self._split(self.touched)
        down, right = (reach * one[:, None] for one in self.directions)
        _, y, x = self._split(sources[self._join(start, row + down, column + right)])
        candidates = self._join(start, y - down, x - right)  # [5, touched]; the first is the present source
        # `cost` and the product leave out the size of `wanted`. Without it, a factor between distances means nothing.
        distances = cost[candidates] - 2 * (wanted * own[candidates]).sum(2) + wanted.square().sum(1)
        best = (distances * self.reluctance).argmin(0, keepdim=True)
        return sources.scatter(0, self.touched, candidates.gather(0, best)[0])

    def average(self, sources: Tensor) -> Tensor:
        """The picture `[N, 3, S, S]` with the mean of what all patches over a pixel propose for it, in the hole."""
        start, y, x = self._split(sources[self.around])
        proposed = self.pixels[self._join(start, y + self.down, x + self.right)] * self.counted
        mean = (proposed.sum(1) / self.counted.sum(1)).round()
        return self.pixels.scatter(0, self.inside, mean).reshape(-1, self.side, self.side, 3).permute(0, 3, 1, 2)

    def in_pictures(self, sources: Tensor) -> Tensor:
        """Indices within each picture, `[N, S, S]`."""
        return (sources % self.area).reshape(-1, self.side, self.side)


def _features(image: Tensor, guide: Tensor) -> Tensor:
    """The 7x7 patch around each pixel, mirrored at the edge, and the guide's colour there: `[N * S * S, 150]`."""
    kernels = torch.eye(PATCH**2, dtype=image.dtype, device=image.device).view(-1, 1, PATCH, PATCH).repeat(3, 1, 1, 1)
    patches = F.conv2d(F.pad(image, (RADIUS,) * 4, mode="reflect"), kernels, groups=3)
    return torch.cat((patches, guide), 1).permute(0, 2, 3, 1).flatten(0, 2)


def _nearest(features: Tensor, own: Tensor, cost: Tensor, area: int) -> Tensor:
    """The index of the known patch nearest to each patch of the same picture, among all."""
    wanted, known = (one.reshape(-1, area, one.shape[1]) for one in (features, own))
    nearest = (cost.reshape(-1, 1, area) - 2 * wanted @ known.transpose(1, 2)).argmin(2)
    starts = torch.arange(nearest.shape[0], device=nearest.device)[:, None] * area
    return (nearest + starts).flatten()
