"""Differentiable augmentation of what a discriminator sees: Zhao et al. 2020, "Differentiable Augmentation for
Data-Efficient GAN Training" (DiffAugment).

A discriminator learns a small data set by heart. Augmented pictures stop that. Real and generated pictures are
augmented in the discriminator's *and* in the generator's loss, so that the generator does not learn to draw
augmentations (section 3.2). The gradient therefore passes through them.
"""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from typing import Any, Literal

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from img2img.objectives.adaptive import AdaptiveProbability

Augmentation = Literal["color", "translation", "cutout"]

BRIGHTNESS = 0.25
"""Largest change of brightness, as a fraction of the range of values (official code: 0.5 for values in -1..1)."""

SHIFT = 8
"""The largest shift is this fraction of a side."""


@dataclass(frozen=True)
class Draw:
    """The random numbers of one call.

    Attributes:
        brightness, saturation, contrast: `[N, 1, 1, 1]`, a fraction of the range of values and two factors.
        shift: int64 `[N, 2]`, rows and columns.
        centre: int64 `[N, 2]`, row and column of the middle of the cut-out rectangle.
        applied: bool `[N, kinds]`, which augmentations each picture gets; None: all.
    """

    brightness: Tensor
    saturation: Tensor
    contrast: Tensor
    shift: Tensor
    centre: Tensor
    applied: Tensor | None = None


class Augment:
    """Augments batches `[N, C, H, W]`. Each picture of each call has its own random numbers, as in the official code.

    color: brightness, saturation 0 to 2, contrast 0.5 to 1.5. translation: up to an eighth of a side. cutout: a
    rectangle of half of each side, anywhere. They are applied in the given order. Parts that move in or are cut out get
    the middle of the range of values, and 0 in channels that are no pictures.

    Args:
        kinds: what to apply.
        pictures: the channels of each picture in the input, for conditional discriminators. All of them get the same
            random numbers. Other channels (labels, masks) move along and keep their values.
        signed: values are in -1..1 instead of 0..1.
        probability: how often a picture gets each of the augmentations, independently (Karras et al. 2020, section
            2.2); None: always.
    """

    def __init__(
        self,
        kinds: Sequence[Augmentation],
        *,
        pictures: Sequence[slice] = (slice(None),),
        signed: bool = True,
        probability: AdaptiveProbability | None = None,
    ) -> None:
        self.kinds = tuple(kinds)
        self.pictures = tuple(pictures)
        self.span = 2.0 if signed else 1.0
        self.middle = 0.0 if signed else 0.5
        self.probability = probability
        self._shared: list[Draw] | None = None

    def attach(self, discriminator: nn.Module) -> None:
        """Augment the first argument of every call of `discriminator` in training mode. Compiled code ignores this."""

        def before(module: nn.Module, inputs: tuple[Any, ...]) -> tuple[Any, ...] | None:
            return (self(inputs[0]), *inputs[1:]) if module.training else None

        discriminator.register_forward_pre_hook(before)

    @contextmanager
    def same(self) -> Iterator[None]:
        """Give all calls inside the block the same random numbers, for losses that compare picture by picture."""
        self._shared = []
        try:
            yield
        finally:
            self._shared = None

    def __call__(self, batch: Tensor) -> Tensor:
        draw = self._shared[0] if self._shared else self._draw(batch)
        if self._shared is not None and not self._shared:
            self._shared.append(draw)
        offset = batch.new_zeros((1, batch.shape[1], 1, 1))
        for picture in self.pictures:
            offset[:, picture] = self.middle
        centred = batch - offset
        for place, kind in enumerate(self.kinds):
            if kind == "color":
                changed = self._recolour(centred, draw)
            elif kind == "translation":
                changed = translate(centred, draw.shift)
            else:
                changed = cut_out(centred, draw.centre)
            if draw.applied is None:
                centred = changed
            else:
                centred = torch.where(draw.applied[:, place, None, None, None], changed, centred)
        return centred + offset

    def _draw(self, batch: Tensor) -> Draw:
        draw = draw_for(batch)
        if self.probability is None:
            return draw
        chance = torch.rand((len(batch), len(self.kinds)), device=batch.device)
        return replace(draw, applied=chance < self.probability.p.to(chance))

    def _recolour(self, batch: Tensor, draw: Draw) -> Tensor:
        brightness, saturation, contrast = (
            value.to(batch.dtype) for value in (draw.brightness * self.span, draw.saturation, draw.contrast)
        )
        parts = list(batch.unbind(1))
        for picture in self.pictures:
            colour = batch[:, picture] + brightness
            grey = colour.mean(1, keepdim=True)
            colour = (colour - grey) * saturation + grey
            level = colour.mean((1, 2, 3), keepdim=True)
            parts[picture] = ((colour - level) * contrast + level).unbind(1)
        return torch.stack(parts, 1)


def draw_for(batch: Tensor) -> Draw:
    """Draw the random numbers for `batch` `[N, C, H, W]` from torch's global generator."""
    count, _, height, width = batch.shape

    def uniform(low: float, high: float) -> Tensor:
        return low + (high - low) * torch.rand((count, 1, 1, 1), device=batch.device)

    def whole(low: int, high: int) -> Tensor:
        return torch.randint(low, high + 1, (count,), device=batch.device)

    return Draw(
        uniform(-BRIGHTNESS, BRIGHTNESS),
        uniform(0, 2),
        uniform(0.5, 1.5),
        torch.stack([whole(-(side // SHIFT), side // SHIFT) for side in (height, width)], 1),
        torch.stack([whole(0, side - side // 2 % 2) for side in (height, width)], 1),
    )


def translate(batch: Tensor, shift: Tensor) -> Tensor:
    """Move each picture of `batch` by its `shift` `[N, 2]` in rows and columns. Zeros move in."""
    count, _, height, width = batch.shape
    padded = F.pad(batch, (1, 1, 1, 1))

    def source(side: int, moved: Tensor) -> Tensor:
        place = torch.arange(side, device=batch.device) - moved[:, None]
        return (place + 1).clamp(0, side + 1)  # 0 and side + 1 are padding

    rows, columns = source(height, shift[:, 0]), source(width, shift[:, 1])
    each = torch.arange(count, device=batch.device)[:, None, None]
    return padded[each, :, rows[:, :, None], columns[:, None, :]].permute(0, 3, 1, 2)


def cut_out(batch: Tensor, centre: Tensor) -> Tensor:
    """Set a rectangle of half of each side to zero in each picture, around `centre` `[N, 2]`, row and column."""

    def inside(side: int, middle: Tensor) -> Tensor:
        place = torch.arange(side, device=batch.device) - (middle[:, None] - side // 2 // 2)
        return (place >= 0) & (place < side // 2)

    rows, columns = (inside(side, middle) for side, middle in zip(batch.shape[2:], centre.T, strict=True))
    return batch * ~(rows[:, None, :, None] & columns[:, None, None, :])
