"""A batch that is ready to run, and how to get there: choose the model, and tiles that fit into memory."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from pathlib import Path

from img2img.errors import PictureError
from img2img.runtime.batch.event import Notify
from img2img.runtime.batch.run_job import JobItem
from img2img.runtime.files import storage
from img2img.runtime.files.jobs import Job
from img2img.runtime.files.storage_uri import Location, StorageFile
from img2img.runtime.network import models
from img2img.runtime.tasks.model_choice import ModelChoice
from img2img.runtime.tasks.settings import Settings
from img2img.runtime.tasks.task import Task


@dataclass
class Batch:
    """A batch that is ready to run.

    Attributes:
        jobs: all jobs, also those that are skipped or have failed before they start.
        homes: for each job the output folder whose journal records the result; None: no journal does.
        stdin: the bytes from stdin, if a job reads them.
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
        """The known sizes (width, height) of the pictures to do, or of `count` of them, evenly spread."""
        jobs = self.to_do
        if count is not None and len(jobs) > count:
            jobs = [jobs[place * len(jobs) // count] for place in range(count)]
        return sizes_of((job.source for job in jobs), self.stdin)


def choose_model(
    task: Task, settings: Settings, pixels: Callable[[], float | None], notify: Notify | None
) -> ModelChoice:
    """The model for a task. `pixels` returns the number of pixels of all pictures, None if unknown.

    Raises:
        ModelError, UsageError: as `Task.find_model` and `ModelChoice`.
    """
    path = task.find_model(settings, pixels)
    # The 8-bit file replaces a model only if the user named no file.
    path = models.for_device(path, settings.device)
    return ModelChoice(path, task.name, settings.device, settings.threads, settings.assumed(), notify)


def within_memory(
    task: Task, model_choice: ModelChoice, settings: Settings, sizes: Callable[[], list[tuple[int, int]]]
) -> Task:
    """The task with tiles that keep the process below --max-memory, if one picture is in the network at a time.

    `sizes` returns the sizes (width, height) of the pictures.

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


def sizes_of(files: Iterable[Location | None], stdin: bytes) -> list[tuple[int, int]]:
    """Width and height of the pictures, from their headers, where these tell. None stands for stdin."""
    sizes = (_size_of(stdin if file is None else file) for file in files)
    return [size for size in sizes if size is not None]


def _size_of(file: Location | bytes) -> tuple[int, int] | None:
    from img2img.runtime.image import sizes

    if not isinstance(file, StorageFile):
        return next(sizes.of_files([file]))
    try:
        with storage.open_file(file) as stream:
            return next(sizes.of_files([stream]))
    except PictureError:  # reading it will say why
        return None
