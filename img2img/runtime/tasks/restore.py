"""Restores pictures: upscaling with a model of scale 1."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, ClassVar, Self

from img2img.errors import UsageError
from img2img.runtime.files.naming import Naming
from img2img.runtime.tasks.upscale import UpscaleTask

if TYPE_CHECKING:
    from img2img.runtime.network.card import Card
    from img2img.runtime.tasks.settings import Settings

DEFAULT_MODEL = "restore"


@dataclass(frozen=True, kw_only=True)
class RestoreTask(UpscaleTask):
    """`UpscaleTask` with another default model and other names for results. The model must keep the size."""

    doing: ClassVar[str] = "restoring"

    def find_model(self, settings: Settings, pixels: Callable[[], float | None]) -> Path:
        from img2img.runtime.network import models

        return models.find(settings.model or DEFAULT_MODEL)

    def with_card(self, card: Card) -> Self:
        if card.scale != 1:
            raise UsageError(f"{card.name} enlarges {card.scale} times: img2img upscale takes it")
        return super().with_card(card)

    def namings(self, card: Card, settings: Settings) -> list[Naming]:
        return [Naming(f"_{card.name or DEFAULT_MODEL}", settings.output, settings.format, model=card.name)]
