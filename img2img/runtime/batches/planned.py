"""A batch that is ready to run, and what it takes to make one ready: the model, and tiles that fit into memory."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

from img2img.runtime.batches.chosen import Chosen
from img2img.runtime.batches.settings import Settings
from img2img.runtime.listing.files import Source
from img2img.runtime.listing.targets import Job
from img2img.runtime.network import models
from img2img.runtime.verbs.verb import Verb

Tell = Callable[[str], None]


class Watch(Protocol):
    """Is told of the progress inside a picture; from the thread that does the work."""

    def begin(self, job: Job, pixels: int) -> None: ...
    def advance(self, pixels: int) -> None: ...


class Unwatched:
    """Nobody looks."""

    def begin(self, job: Job, pixels: int) -> None:
        pass

    def advance(self, pixels: int) -> None:
        pass


@dataclass
class Batch:
    """A batch that is ready to run.

    Attributes:
        jobs: every job, those among them that are to be skipped or have failed before they began.
        homes: for each job the output folder that keeps a journal of it, or None.
        stdin: the bytes that came in there, where a job wants them.
    """

    jobs: list[Job]
    homes: list[Path | None]
    verb: Verb
    chosen: Chosen
    settings: Settings
    stdin: bytes = b""

    @property
    def to_do(self) -> list[Job]:
        return [job for job in self.jobs if job.problem is None and job.skip is None]

    def sizes(self, count: int | None = None) -> list[tuple[int, int]]:
        """Width and height of the pictures that are to be done (`count`: of so many, evenly spread), where known."""
        jobs = self.to_do
        if count is not None and len(jobs) > count:
            jobs = [jobs[place * len(jobs) // count] for place in range(count)]
        return sizes_of(jobs, self.stdin)


def choose(verb: Verb, settings: Settings, pixels: Callable[[], float | None], tell: Tell | None) -> Chosen:
    """The model that a verb is to be done with; `pixels` as `Verb.find` takes it.

    Raises:
        ModelError, UsageError: as of `Verb.find` and `Chosen`.
    """
    path = verb.find(settings, pixels)
    # An 8-bit twin is what was meant only where nobody said which file.
    path = models.for_device(path, settings.device)
    return Chosen(path, verb.task, settings.device, settings.threads, settings.assumed(), tell)


def within_memory(verb: Verb, chosen: Chosen, settings: Settings, sizes: Callable[[], list[tuple[int, int]]]) -> Verb:
    """The verb with tiles so small that the process stays below --max-memory; as it is where nobody said that.

    `sizes`: of the pictures, (width, height).

    Raises:
        UsageError: even the smallest tiles need more.
    """
    if settings.max_memory is None:
        return verb
    from img2img.runtime.network import estimate

    limit, found = estimate.parse_memory(settings.max_memory), sizes()
    if not found:
        return verb
    largest = max(found, key=lambda size: size[0] * size[1])
    scale = verb.area(chosen.card) ** 0.5
    tile = estimate.tile_for(chosen.speed(), chosen.card, limit, largest, scale=scale, several=len(found) > 1)
    return verb if tile == "auto" or tile is None else verb.with_tile(tile)


def sizes_of(sources: Iterable[Source | Job], stdin: bytes) -> list[tuple[int, int]]:
    """Width and height of the pictures whose headers tell them."""
    from img2img.runtime.image import sizes

    paths = [one.path if isinstance(one, Source) else one.source for one in sources]
    return [size for size in sizes.of_files(stdin if path is None else path for path in paths) if size is not None]
