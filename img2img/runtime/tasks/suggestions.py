"""Suggests another model for compressed photos."""

from __future__ import annotations

from functools import cached_property
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from img2img.runtime.tasks.task import ModelChoice, Task

COMPRESSED = 85
"""JPEGs below this quality have artefacts that enlarging makes visible."""


class Suggestions:
    """Suggests a model that also cleans compressed photos, to those who use a model for clean photos.

    Looks at cards only if a compressed photo is met.
    """

    def __init__(self, task: Task, model_choice: ModelChoice) -> None:
        self._task = task
        self._model_choice = model_choice

    def __call__(self, jpeg_quality: int | None) -> str | None:
        """The name of a model that suits a photo of this quality better; None if there is none, or no need."""
        return self._cleaner if jpeg_quality is not None and jpeg_quality < COMPRESSED else None

    @cached_property
    def _cleaner(self) -> str | None:
        from img2img.runtime.network import models

        card = self._model_choice.card
        if card.input_quality != "clean" or not self._task.accepts_model:
            return None
        return models.for_degraded_input(card, but=self._model_choice.path)
