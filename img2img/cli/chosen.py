"""The model that a command works with: its card at once, the network when there is something to do."""

from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import TYPE_CHECKING

from img2img.cli import console
from img2img.errors import ModelError
from img2img.runtime import models

if TYPE_CHECKING:
    from img2img.runtime.card import Card
    from img2img.runtime.session import Model

_DOING = {"upscale": "upscaling", "translate": "translating", "inpaint": "inpainting"}


class Chosen:
    """A model for one task.

    Raises:
        ModelError: it is for another task; the message names the command for that. Or it is to fill holes and has no
            card: probing finds no mask.
    """

    def __init__(self, path: Path, task: str, *, device: str, threads: int | None, quiet: bool) -> None:
        self.path = path
        self.task = task
        self.device = device
        self.threads = threads
        self.talkative = console.is_terminal() and not quiet
        self._model: Model | None = None
        self._card = models.read_card(path)
        if self._card is not None and self._card.task != task:
            other = self._card.task
            raise ModelError(f"{path}: this model is for {other!r}, not for {_DOING[task]}: img2img {other} takes it")

        if self._card is None and task == "inpaint":
            raise ModelError(f"{path}: it has no img2img card, so that it is not known to take a mask")

    @property
    def card(self) -> Card:
        """Read from the file; of a file without a card the network has to be loaded."""
        return self._card or self.load().card

    def load(self) -> Model:
        """The network, loaded once; what a person should know of it is said on a terminal."""
        from img2img.runtime import session

        if self._model is None:
            self._model = session.load(self.path, device=self.device, threads=self.threads)
            if self._card is None:  # probed: that it is for this task the person has said
                self._model.card = dataclasses.replace(self._model.card, task=self.task)
            for note in self._model.notes if self.talkative else ():
                console.say(note)
        return self._model
