"""Suggests another model for compressed photos."""

from __future__ import annotations

from functools import cached_property
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from img2img.runtime.tasks.task import ModelChoice, Task


class Suggestions:
    """Suggests a model that also cleans compressed photos, to those who use a model for clean photos.

    Looks at cards only when it is asked.
    """

    def __init__(self, task: Task, model_choice: ModelChoice) -> None:
        self._task = task
        self._model_choice = model_choice

    @cached_property
    def cleaner(self) -> str | None:
        """The name of a model that suits compressed photos better; None if there is none."""
        from img2img.runtime.network import models

        card = self._model_choice.card
        if card.input_quality != "clean" or not self._task.accepts_model:
            return None
        return models.for_degraded_input(card, but=self._model_choice.path)
