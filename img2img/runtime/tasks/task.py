"""What a batch needs of upscaling, translating and inpainting: the task and its model."""

from __future__ import annotations

import dataclasses
from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar, Self

from img2img.errors import ModelError
from img2img.runtime.files.jobs import Job
from img2img.runtime.files.naming import Naming
from img2img.runtime.files.source import Source
from img2img.runtime.network import models
from img2img.threads import Cores

if TYPE_CHECKING:
    from img2img.runtime.image.pictures import Picture
    from img2img.runtime.network.card import Card
    from img2img.runtime.network.grid import Tile
    from img2img.runtime.network.network import Network
    from img2img.runtime.network.session import LoadedModel
    from img2img.runtime.network.speed import Speed
    from img2img.runtime.network.tiling import Progress
    from img2img.runtime.tasks.settings import Settings


@dataclass(frozen=True, kw_only=True)
class Task(ABC):
    """What to do with every picture of a batch, with its options. Can be pickled and compared.

    `find_model` chooses a model, and `with_card` completes the task with the model's card. Then `apply` may be called,
    from any thread.

    Attributes:
        doing: the task as a noun, for messages.
        strength: 0 gives the picture, 1 the network's result, numbers between them a blend.
        tile: see `tiling.Tile`.
    """

    name: ClassVar[str]
    doing: ClassVar[str]

    strength: float = 1.0
    tile: Tile = "auto"

    @abstractmethod
    def find_model(self, settings: Settings, pixels: Callable[[], float | None]) -> Path:
        """Find the model file. `pixels` returns the number of pixels of all inputs together, None if unknown.

        Raises:
            ModelError: there is no such model.
            UsageError: the options do not name one, or contradict each other.
        """

    @property
    def accepts_model(self) -> bool:
        """Whether the user may name a model in addition to the options of the task."""
        return True

    def with_card(self, card: Card) -> Self:
        """The task, completed with the model's card. Raises UsageError if the model does not support the options."""
        return self

    @abstractmethod
    def namings(self, card: Card, settings: Settings) -> list[Naming]:
        """How the results of one picture are named: one `Naming` for each result."""

    @abstractmethod
    def apply(self, model: Network, job: Job, picture: Picture, progress: Progress) -> Picture:
        """Process one picture. `progress` receives numbers of finished pixels that add up to the picture's."""

    def bind(self, model: Network, job: Job) -> Network:
        """The model with its further inputs for this job, so that it only needs the picture."""
        return model

    @property
    def pixels_beside(self) -> int:
        """Pixels of other pictures that every run of the network takes beside its window."""
        return 0

    def area_factor(self, card: Card) -> float:
        """Number of pixels of a result for each pixel of its picture."""
        return 1.0

    def select_sources(self, sources: Sequence[Source]) -> list[Source]:
        """The sources that are pictures to process. Raises UsageError if none is left."""
        return list(sources)

    def with_masks(self, jobs: Sequence[Job], sources: Sequence[Source]) -> tuple[Self, list[Job]]:
        """The task with the masks of the pictures, and the jobs, with a problem if the mask is missing."""
        return self, list(jobs)

    def with_tile(self, tile: Tile) -> Self:
        return dataclasses.replace(self, tile=tile)

    def journal_key(self, job: Job) -> dict[str, Any]:
        """What determines the pixels of this job's result besides its picture and the model, for the journal.

        The tile size is left out: it changes memory and time, never the result.
        """
        own = {one.name: getattr(self, one.name) for one in dataclasses.fields(self) if one.name != "tile"}
        return {"task": self.name, **own}


@dataclass
class ModelChoice:
    """The model of a batch and how to run it. The network is loaded when it is needed. Can be pickled.

    Attributes:
        notify: receives the model's notes when it is loaded.
        doing: see `Task`.
        runs, split, verify: see `session.load` and `share`.

    Raises:
        ModelError: the model is for another task; the message names the command for it. Or the task is inpainting and
            the model has no card: probing finds no mask.
    """

    path: Path
    task: str
    device: str = "auto"
    threads: int | None = None
    assume: Mapping[str, str] = field(default_factory=dict)
    notify: Callable[[str], None] | None = None
    runs: int | None = None
    split: bool | None = None
    verify: bool = False
    doing: str = ""

    def __post_init__(self) -> None:
        self._model: LoadedModel | None = None
        self._spare: LoadedModel | None = None
        self._speed: Speed | None = None
        self._card = models.read_card(self.path)
        if self._card is not None and self._card.task != self.task:
            other = self._card.task
            wanted = self.doing or repr(self.task)
            raise ModelError(f"{self.path}: this model is for {other!r}, not for {wanted}: img2img {other} takes it")
        if self._card is None and self.task == "inpaint":
            raise ModelError(f"{self.path}: it has no img2img card, so that it is not known to take a mask")

    @property
    def card(self) -> Card:
        """The card of the file. If it has none, the network is loaded and probed."""
        return self._card or self.load().card

    def load(self) -> LoadedModel:
        """Load the network, once."""
        from img2img.runtime.network import session

        if self._model is None:
            self._model = session.load(
                self.path,
                device=self.device,
                threads=self.threads,
                assume=self.assume or None,
                runs=self.runs,
                split=self.split,
                verify=self.verify,
            )
            if self._card is None:  # a probed card has no task: the user named it by the command
                self._model.card = dataclasses.replace(self._model.card, task=self.task)
            if self.notify is not None:
                for note in self._model.notes:
                    self.notify(note)
        return self._model

    def stop(self) -> None:
        """End all current runs of the network. Call it again while threads still work: they may start another run."""
        for model in (self._model, self._spare):
            if model is not None:
                model.stop()

    def share(self, runs: int, *, split: bool | None) -> None:
        """Set `runs` and `split` before the network is loaded. One that was loaded for its card keeps its threads."""
        self.runs, self.split = runs, split
        if self._model is not None and self._model.device == "cpu":
            self._model.cores = Cores(runs, split=self._model.cores.split)

    def speed(self) -> Speed:
        """Speed and memory of the network on this machine, measured once."""
        from img2img.runtime.network import estimate

        if self._speed is None:
            self._speed = estimate.measure(
                self.path, device=self.device, threads=self.threads, assume=self.assume or None
            )
        return self._speed

    def known_speed(self) -> Speed | None:
        """The speed if it was measured before; None otherwise. Measures nothing."""
        from img2img.runtime.network import speed

        if self._speed is None:
            self._speed = speed.known(self.path, device=self.device, threads=self.threads, assume=self.assume or None)
        return self._speed

    def spare(self) -> LoadedModel | None:
        """The full-precision file next to a model in half or 8-bit precision, loaded once on the CPU; None: no file."""
        from img2img.runtime.network import session

        plain = models.full_precision(self.path) if self._spare is None else None
        if plain is not None:
            given: dict[str, Any] = {"runs": self.runs, "split": self.split, "verify": self.verify}
            self._spare = session.load(plain, device="cpu", threads=self.threads, **given)
        return self._spare

    def __getstate__(self) -> dict[str, object]:
        return {**self.__dict__, "_model": None, "_spare": None, "_speed": None, "notify": None}
