"""The model that a batch works with: its card at once, the network when there is something to do."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

from img2img.errors import ModelError
from img2img.runtime.network import models
from img2img.runtime.network.devices import Cores

if TYPE_CHECKING:
    from img2img.runtime.network.card import Card
    from img2img.runtime.network.session import LoadedModel
    from img2img.runtime.network.speed import Speed

_DOING = {"upscale": "upscaling", "translate": "translating", "inpaint": "inpainting"}


@dataclass
class ModelChoice:
    """A model for one task, and how it is to be run. Can be pickled as long as it is not loaded.

    Attributes:
        notify: is told what a person should know of the model, when it is loaded.
        runs, split: as `session.load` takes them; see `share`.

    Raises:
        ModelError: it is for another task; the message names the command for that. Or it is to fill holes and has no
            card: probing finds no mask.
    """

    path: Path
    task: str
    device: str = "auto"
    threads: int | None = None
    assume: Mapping[str, str] = field(default_factory=dict)
    notify: Callable[[str], None] | None = None
    runs: int | None = None
    split: bool = True

    def __post_init__(self) -> None:
        self._model: LoadedModel | None = None
        self._speed: Speed | None = None
        self._card = models.read_card(self.path)
        if self._card is not None and self._card.task != self.task:
            other = self._card.task
            raise ModelError(
                f"{self.path}: this model is for {other!r}, not for {_DOING[self.task]}: img2img {other} takes it"
            )
        if self._card is None and self.task == "inpaint":
            raise ModelError(f"{self.path}: it has no img2img card, so that it is not known to take a mask")

    @property
    def card(self) -> Card:
        """Read from the file; of a file without a card the network has to be loaded."""
        return self._card or self.load().card

    def load(self) -> LoadedModel:
        """The network, loaded once."""
        from img2img.runtime.network import session

        if self._model is None:
            self._model = session.load(
                self.path,
                device=self.device,
                threads=self.threads,
                assume=self.assume or None,
                runs=self.runs,
                split=self.split,
            )
            if self._card is None:  # probed: that it is for this task the person has said
                self._model.card = dataclasses.replace(self._model.card, task=self.task)
            for note in self._model.notes if self.notify is not None else ():
                self.notify(note)  # type: ignore[misc]  # not None, as the line before says
        return self._model

    def share(self, runs: int, *, split: bool) -> None:
        """Set `runs` and `split`. A network that had to be loaded for its card keeps its threads."""
        self.runs, self.split = runs, split
        if self._model is not None and self._model.device == "cpu":
            self._model.cores = Cores(runs)

    def speed(self) -> Speed:
        """How fast it is here and what memory it takes, measured once."""
        from img2img.runtime.network import estimate

        if self._speed is None:
            self._speed = estimate.measure(
                self.path, device=self.device, threads=self.threads, assume=self.assume or None
            )
        return self._speed

    def known_speed(self) -> Speed | None:
        """The speed if it was measured before. Measures nothing."""
        from img2img.runtime.network import speed

        if self._speed is None:
            self._speed = speed.known(self.path, device=self.device, threads=self.threads, assume=self.assume or None)
        return self._speed

    def spare(self) -> LoadedModel | None:
        """The full-precision file of a model in half or 8-bit precision, on the CPU, where one lies beside it."""
        from img2img.runtime.network import session

        plain = models.full_precision(self.path)
        if plain is None:
            return None
        return session.load(plain, device="cpu", threads=self.threads, runs=self.runs, split=self.split)

    def __getstate__(self) -> dict[str, object]:
        return {**self.__dict__, "_model": None, "_speed": None, "notify": None}
