"""Enlarges pictures."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar, Self

import numpy as np
import numpy.typing as npt

from img2img.errors import UsageError
from img2img.runtime.files.jobs import Job
from img2img.runtime.files.naming import Naming
from img2img.runtime.image import blending, hdr
from img2img.runtime.image.alpha import bleed
from img2img.runtime.image.pictures import Picture
from img2img.runtime.image.resize import lanczos
from img2img.runtime.network.tiling import AUTO, Progress, Tile, rescaled, run_tiled
from img2img.runtime.tasks.task import Task

if TYPE_CHECKING:
    from img2img.runtime.image.pictures import Picture
    from img2img.runtime.network.card import Card
    from img2img.runtime.network.network import Network
    from img2img.runtime.network.tiling import Progress
    from img2img.runtime.tasks.settings import Settings


DEFAULT_MODEL = "upscale-x4"


MAX_SCALE = 256


@dataclass(frozen=True, kw_only=True)
class UpscaleTask(Task):
    """
    Attributes:
        scale: enlargement factor; None: the model's own.
        budget: a time such as "60s"; the best bundled model that finishes all inputs in this time is used.

    Raises:
        UsageError: `scale` is not a number above 0 and up to `MAX_SCALE`.
    """

    name: ClassVar[str] = "upscale"
    doing: ClassVar[str] = "upscaling"

    scale: float | None = None
    budget: str | None = None

    def __post_init__(self) -> None:
        if self.scale is not None and not 0 < self.scale <= MAX_SCALE:
            raise UsageError(f"--scale {self.scale:g}: use a number above 0 and up to {MAX_SCALE}")

    def find_model(self, settings: Settings, pixels: Callable[[], float | None]) -> Path:
        from img2img.runtime.network import models

        if self.budget is not None:
            return self._affordable(settings, pixels)
        if settings.model is None and self.scale is not None:
            return models.for_scale(self.scale)
        return models.find(settings.model or DEFAULT_MODEL)

    @property
    def accepts_model(self) -> bool:
        return self.budget is None

    def _affordable(self, settings: Settings, pixels: Callable[[], float | None]) -> Path:
        from img2img.runtime.network import estimate, models

        assert self.budget is not None
        if settings.model is not None:
            raise UsageError("--budget chooses the model: omit --model")
        budget, count = estimate.parse_duration(self.budget), pixels()
        if count is None:
            raise UsageError("--budget does not work with --raw: the number of frames is unknown")
        usual = models.read_card(models.find(DEFAULT_MODEL))
        scale = self.scale or (usual.scale if usual is not None else None)
        fitting = models.candidates(self.name, scale, device=settings.device)
        choice = estimate.choose_model(fitting, count, budget, device=settings.device, threads=settings.threads)
        if choice.note is not None:
            raise UsageError(f"--budget {self.budget}: {choice.note}")
        return choice.path

    def with_card(self, card: Card) -> Self:
        _require_picture_only(card)
        return self

    def namings(self, card: Card, settings: Settings) -> list[Naming]:
        factor = f"{self.scale or card.scale:g}"
        return [Naming(f"_x{factor}", settings.output, settings.format, model=card.name, scale=factor)]

    def area_factor(self, card: Card) -> float:
        return (self.scale or card.scale) ** 2

    def apply(self, model: Network, job: Job, picture: Picture, progress: Progress) -> Picture:
        return upscale(model, picture, scale=self.scale, tile=self.tile, strength=self.strength, progress=progress)

    def journal_key(self, job: Job) -> dict[str, Any]:
        facts = super().journal_key(job)
        del facts["budget"]  # the model that it has chosen counts
        return facts


Pixels = npt.NDArray[Any]


def upscale(
    model: Network,
    picture: Picture,
    *,
    scale: float | None = None,
    tile: Tile = AUTO,
    strength: float = 1.0,
    progress: Progress | None = None,
) -> Picture:
    """Enlarge a picture with a model.

    The network runs once. Where `scale` is not its own, a Lanczos resize follows, up or down: x8 with a x4 network is
    its x4 result enlarged twice. Colour is spread under full transparency first, and alpha runs as a grey picture of
    its own, unless it is the same everywhere.

    Args:
        model: a loaded model without further inputs.
        picture: any size from 1x1, 8 or 16 bits; depth, channels, format, EXIF and ICC profile are kept.
        scale: enlargement factor; the size is rounded to whole pixels, at least 1. None: the model's own.
        tile: see `tiling.Tile`.
        strength: 0 returns a Lanczos resize, 1 the network's result; values in between blend the two.
        progress: receives numbers of finished input pixels that add up to the picture's.

    Raises:
        UsageError: the model also needs a mask, a domain or a reference; `scale` is not a positive number; or the model
            does not support tiles.
        OutOfMemory, BrokenOutput, ModelError: from the network.
    """
    card = model.card
    _require_picture_only(card)
    if scale is not None and not (math.isfinite(scale) and scale > 0):
        raise UsageError(f"scale must be a number above 0, not {scale}")
    if strength != 1:
        blending.check_strength(strength)
    run = partial(_enlarged, model, scale=scale or card.scale, tile=tile, strength=strength, progress=progress)
    return hdr.in_working_range(run, picture) if picture.is_pq else run(picture)


def _require_picture_only(card: Card) -> None:
    for name in card.inputs:
        if name not in ("image", "latent"):  # a missing latent code is zeros
            raise UsageError(f"{card.name} needs a {name} in addition to the picture")


def _enlarged(
    model: Network, picture: Picture, *, scale: float, tile: Tile, strength: float, progress: Progress | None
) -> Picture:
    notes = list(picture.notes)
    colour, alpha = picture.colour, picture.alpha
    runs = 1
    if alpha is not None:
        colour = bleed(colour, alpha)
        runs += not _is_constant(alpha)
    pixels = colour.shape[0] * colour.shape[1]
    report = None if progress is None else rescaled(progress, runs * pixels, pixels)

    size = _size(colour, scale)

    def enlarged(plane: Pixels) -> Pixels:
        large = run_tiled(model, plane, tile=tile, progress=report, note=notes.append)
        return large if scale == model.card.scale else lanczos(large, size)

    large = enlarged(colour)
    if strength < 1:
        large = blending.blend(lanczos(colour, size), large, strength)
    large_alpha = None
    if alpha is not None:
        if runs == 1:
            large_alpha = np.full(large.shape[:2], alpha.flat[0], alpha.dtype)
        else:
            large_alpha = enlarged(alpha[..., None])[..., 0]
    return dataclasses.replace(picture, colour=large, alpha=large_alpha, notes=tuple(notes))


def _size(colour: Pixels, scale: float) -> tuple[int, int]:
    """The width and height of the result."""
    height, width = colour.shape[:2]
    return max(1, math.floor(width * scale + 0.5)), max(1, math.floor(height * scale + 0.5))


def _is_constant(alpha: Pixels) -> bool:
    return bool((alpha == alpha.flat[0]).all())
