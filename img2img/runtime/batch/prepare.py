"""A batch that is ready to run, and what it takes to make one ready: the model, and tiles that fit into memory."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from pathlib import Path

from img2img.runtime.batch.event import Notify
from img2img.runtime.batch.run_job import JobItem
from img2img.runtime.files.jobs import Job
from img2img.runtime.files.source import Source
from img2img.runtime.network import models
from img2img.runtime.tasks.model_choice import ModelChoice
from img2img.runtime.tasks.settings import Settings
from img2img.runtime.tasks.task import Task


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
    task: Task
    model_choice: ModelChoice
    settings: Settings
    stdin: bytes = b""

    @property
    def items(self) -> list[JobItem]:
        """The jobs with their places and homes."""
        pairs = zip(self.jobs, self.homes, strict=True)
        return [JobItem(index, job, home) for index, (job, home) in enumerate(pairs)]

    @property
    def to_do(self) -> list[Job]:
        return [job for job in self.jobs if job.problem is None and job.skip is None]

    def sizes(self, count: int | None = None) -> list[tuple[int, int]]:
        """Width and height of the pictures that are to be done (`count`: of so many, evenly spread), where known."""
        jobs = self.to_do
        if count is not None and len(jobs) > count:
            jobs = [jobs[place * len(jobs) // count] for place in range(count)]
        return sizes_of(jobs, self.stdin)


def choose(task: Task, settings: Settings, pixels: Callable[[], float | None], notify: Notify | None) -> ModelChoice:
    """The model that a task is to be done with; `pixels` as `Task.find` takes it.

    Raises:
        ModelError, UsageError: as of `Task.find` and `ModelChoice`.
    """
    path = task.find_model(settings, pixels)
    # An 8-bit twin is what was meant only where nobody said which file.
    path = models.for_device(path, settings.device)
    return ModelChoice(path, task.name, settings.device, settings.threads, settings.assumed(), notify)


def within_memory(
    task: Task, model_choice: ModelChoice, settings: Settings, sizes: Callable[[], list[tuple[int, int]]]
) -> Task:
    """The task with tiles that keep the process below --max-memory, for one picture in the network after the other.

    `sizes`: (width, height) of the pictures.

    Raises:
        UsageError: even the smallest tiles need more.
    """
    from img2img.runtime.batch import sharing

    if settings.max_memory is None:
        return task
    found = sizes()
    shared = sharing.share(task, model_choice, settings, len(found), lambda: found, one_by_one=True)
    model_choice.share(shared.runs, split=shared.split)
    return task.with_tile(shared.tile)


def sizes_of(sources: Iterable[Source | Job], stdin: bytes) -> list[tuple[int, int]]:
    """Width and height of the pictures whose headers notify them."""
    from img2img.runtime.image import sizes

    paths = [one.path if isinstance(one, Source) else one.source for one in sources]
    return [size for size in sizes.of_files(stdin if path is None else path for path in paths) if size is not None]
