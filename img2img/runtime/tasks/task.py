"""The face of a task: what a batch needs to know of upscaling, translating and inpainting."""

from __future__ import annotations

import dataclasses
from abc import ABC, abstractmethod
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar, Self

from img2img.runtime.files.jobs import Job
from img2img.runtime.files.naming import Naming
from img2img.runtime.files.source import Source

if TYPE_CHECKING:
    from img2img.runtime.image.pictures import Picture
    from img2img.runtime.network.card import Card
    from img2img.runtime.network.grid import Tile
    from img2img.runtime.network.network import Network
    from img2img.runtime.network.tiling import Progress
    from img2img.runtime.tasks.settings import Settings


@dataclass(frozen=True, kw_only=True)
class Task(ABC):
    """One thing that is done to every picture of a batch, with its options; can be pickled and compared.

    A task is made of what a person said. `find` chooses a model; `fitted` completes it by the model's card; from then
    on `apply` may be called, from any thread.
    """

    name: ClassVar[str]

    strength: float = 1.0
    tile: Tile = "auto"

    @abstractmethod
    def find_model(self, settings: Settings, pixels: Callable[[], float | None]) -> Path:
        """The model that is meant; `pixels` tells those of all inputs together, None where nobody can know.

        Raises:
            ModelError: there is none. UsageError: what was said does not notify which.
        """

    def with_card(self, card: Card) -> Self:
        """The task with all that the card decides. Raises UsageError where they do not go together."""
        return self

    @abstractmethod
    def namings(self, card: Card, settings: Settings) -> list[Naming]:
        """How the results of one picture are called: one for each of them."""

    @abstractmethod
    def apply(self, model: Network, job: Job, picture: Picture, progress: Progress) -> Picture:
        """The result of one job. `progress` is told numbers of pixels that add up to the picture's."""

    def bind(self, model: Network, job: Job) -> Network:
        """The model with what it needs beside the picture of this job."""
        return model

    def area_factor(self, card: Card) -> float:
        """Pixels of a result for each pixel of its picture."""
        return 1.0

    def select_sources(self, sources: Sequence[Source]) -> list[Source]:
        """The sources that are pictures to work on. Raises UsageError where none is left."""
        return list(sources)

    def with_masks(self, jobs: Sequence[Job], sources: Sequence[Source]) -> tuple[Self, list[Job]]:
        """The task with what it needs to know of each file, and the jobs with what that has brought to light."""
        return self, list(jobs)

    def with_tile(self, tile: Tile) -> Self:
        return dataclasses.replace(self, tile=tile)

    def journal_key(self, job: Job) -> dict[str, Any]:
        """What decides on the pixels of this job's result beside its picture and the model; for the journal.

        The size of the tiles is left out: it changes memory and time, never the result.
        """
        own = {one.name: getattr(self, one.name) for one in dataclasses.fields(self) if one.name != "tile"}
        return {"task": self.name, **own}
