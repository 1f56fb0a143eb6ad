"""A model file as the teacher of a super-resolution network: the student also learns to give the teacher's results."""

import os
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from img2img.errors import ConfigError, DeviceError, ModelError, UsageError
from img2img.runtime.network import card_writing, models, session
from img2img.runtime.network.session import LoadedModel

TASK = "upscale"
"""The task of the students, and so of their teachers. Restoring is upscaling by 1."""

DIGITS = 12
"""Digits of the digest that messages and cards show."""


def absolute(model: str) -> str:
    """Return `model` so that it means the same file from any folder: a path becomes absolute, a name stays a name."""
    separators = [one for one in (os.sep, os.altsep) if one]
    is_path = model.endswith(models.SUFFIX) or any(one in model for one in separators)
    if is_path or (Path(model).is_dir() and not models.is_installed(model)):
        return os.path.abspath(Path(model).expanduser())  # noqa: PTH100 - does not resolve links
    return model


class Teacher:
    """Runs a model file on the low-resolution batches of a training. Its weights never change.

    Args:
        model: name or path of the model, as in every command.
        scale: scale of the student.
        side: side of the low-resolution crops in pixels.

    Attributes:
        facts: what identifies it: `name`, and `sha256`, the digest of the network without its card.

    Raises:
        ConfigError: there is no such model, it cannot be loaded, it is for another task, it has another scale, or it
            needs more than a picture of `side` pixels.
    """

    def __init__(self, model: str, *, scale: int, side: int) -> None:
        self.setting = f"teacher = {model}"
        try:
            path = models.find(model)
            self.model: LoadedModel = session.load(path, threads=torch.get_num_threads())
            card = models.read_card(path)
            self.facts: dict[str, Any] = {"name": self.model.name, "sha256": card_writing.digest(path)}
        except (ModelError, DeviceError, UsageError) as error:
            raise ConfigError(f"{self.setting}: {error}") from error
        if card is not None and card.task != TASK:  # probing does not know what the network is for
            raise ConfigError(
                f"{self.setting}: {card.name} is a model for {card.task!r}, but the student is one for {TASK!r}; "
                f"name a model for {TASK!r}"
            )
        self._check(scale, side)

    def _check(self, scale: int, side: int) -> None:
        card, fixed = self.model.card, self.model.fixed
        if card.task == "inpaint" or card.domains:
            needed = "a mask" if card.task == "inpaint" else "a domain"
            raise ConfigError(f"{self.setting}: it needs {needed} in addition to a picture; name a model that upscales")
        if card.scale != scale:
            raise ConfigError(
                f"{self.setting}: it enlarges {card.scale} times, but scale = {scale}; name a model of the same scale"
            )
        if side % card.multiple or side < card.minimum or (fixed is not None and fixed != (side, side)):
            takes = f"multiples of {card.multiple}, at least {card.minimum}"
            if fixed is not None:
                takes = f"{fixed[1]}x{fixed[0]} only"
            raise ConfigError(
                f"{self.setting}: its pictures have sides of {takes}, but data.crop / scale is {side}; "
                "choose another data.crop"
            )

    @property
    def note(self) -> str:
        """One line about the teacher, for the user."""
        parameters = f"{self.model.card.parameters:,} parameters, " if self.model.card.parameters else ""
        return f"teacher: {describe(self.facts)}, {parameters}on {self.model.device}"

    @torch.no_grad()
    def __call__(self, low: Tensor) -> Tensor:
        """Return the teacher's results for `low`, RGB `[N, 3, h, w]`, 0..1: `[N, 3, h * scale, w * scale]`, 0..1.

        The results carry no gradient.

        Raises:
            ModelError, OutOfMemory, BrokenOutput: as `LoadedModel.infer`.
        """
        pictures = np.ascontiguousarray(low.float().cpu().numpy())
        if self.model.takes_batches:
            results = self.model.infer(pictures)
        else:
            results = np.concatenate([self.model.infer(one[None]) for one in pictures])
        return torch.from_numpy(results).to(low.device).clamp(0, 1)


def describe(facts: dict[str, Any]) -> str:
    """Return name and digest in one phrase."""
    return f"{facts['name']} (sha256 {facts['sha256'][:DIGITS]})"
