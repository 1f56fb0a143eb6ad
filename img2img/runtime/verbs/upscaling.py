"""Enlarging pictures."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar

from img2img.errors import UsageError
from img2img.runtime.listing import targets
from img2img.runtime.listing.targets import Job, Naming
from img2img.runtime.verbs.verb import Verb

if TYPE_CHECKING:
    from img2img.runtime.batches.settings import Settings
    from img2img.runtime.image.pictures import Picture
    from img2img.runtime.network.card import Card
    from img2img.runtime.network.counting import Progress
    from img2img.runtime.network.session import Model

DEFAULT_MODEL = "upscale-x4"


@dataclass(frozen=True, kw_only=True)
class Upscaling(Verb):
    """
    Attributes:
        scale: sides of a result / sides of its picture; None: the model's own.
        budget: a time such as "60s": the best bundled model that does all inputs in it is taken.

    Raises:
        UsageError: `scale` is not a number above 0.
    """

    task: ClassVar[str] = "upscale"

    scale: float | None = None
    budget: str | None = None

    def __post_init__(self) -> None:
        if self.scale is not None and not (math.isfinite(self.scale) and self.scale > 0):
            raise UsageError(f"--scale {self.scale:g}: say a number above 0")

    def find(self, settings: Settings, pixels: Callable[[], float | None]) -> Path:
        from img2img.runtime.network import models

        if self.budget is not None:
            return self._affordable(settings, pixels)
        if settings.model is None and self.scale is not None:
            return models.for_scale(self.scale)
        return models.find(settings.model or DEFAULT_MODEL)

    def _affordable(self, settings: Settings, pixels: Callable[[], float | None]) -> Path:
        from img2img.runtime.network import estimate, models

        assert self.budget is not None
        if settings.model is not None:
            raise UsageError("--budget chooses the model: leave --model out")
        budget, count = estimate.parse_duration(self.budget), pixels()
        if count is None:
            raise UsageError("--budget needs to know the sizes of the pictures beforehand, and of a stream nobody does")
        usual = models.read_card(models.find(DEFAULT_MODEL))
        scale = self.scale or (usual.scale if usual is not None else None)
        fitting = models.candidates(self.task, scale, device=settings.device)
        choice = estimate.choose(fitting, count, budget, device=settings.device, threads=settings.threads)
        if choice.note is not None:
            raise UsageError(f"--budget {self.budget}: {choice.note}")
        return choice.path

    def namings(self, card: Card, settings: Settings) -> list[Naming]:
        factor = f"{self.scale or card.scale:g}"
        name = targets.as_part(card.name)
        return [Naming(f"_x{factor}", settings.output, settings.format, model=name, scale=factor)]

    def area(self, card: Card) -> float:
        return (self.scale or card.scale) ** 2

    def apply(self, model: Model, job: Job, picture: Picture, progress: Progress) -> Picture:
        from img2img.runtime.verbs.upscale import upscale

        return upscale(model, picture, scale=self.scale, tile=self.tile, strength=self.strength, progress=progress)

    def facts(self, job: Job) -> dict[str, Any]:
        facts = super().facts(job)
        del facts["budget"]  # the model that it has chosen counts
        return facts
