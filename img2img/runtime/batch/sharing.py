"""Shares the cores and the memory of this machine between the pictures of a batch."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING

from img2img.errors import PictureError, UsageError
from img2img.runtime.files import storage
from img2img.runtime.files.storage_uri import Location, StorageFile
from img2img.runtime.network import devices, estimate, memory, speed

if TYPE_CHECKING:
    from img2img.runtime.files.jobs import Job
    from img2img.runtime.network.grid import Tile
    from img2img.runtime.tasks.settings import Settings
    from img2img.runtime.tasks.task import ModelChoice, Task

MOST_BESIDE_CUDA = 8  # pictures that are decoded and encoded while the GPU runs one
RUN = 256 << 20  # bytes of memory that one run of a network is expected to take
LEAST_TILE = 128  # below this side, more runs at the same time gain nothing: the context around tiles costs too much
LEAST_ROOM = 512 << 20
POLL = 0.2  # seconds


@dataclass(frozen=True)
class Sharing:
    """How pictures share the machine.

    Attributes:
        pictures: how many are in work at the same time: decoded, run or encoded.
        runs: runs of the network at the same time.
        split: see `session.load`.
        one_by_one: only one picture is in the network at a time.
        tile: size of the tiles.
    """

    pictures: int
    runs: int
    split: bool | None
    one_by_one: bool
    tile: Tile


def share(
    task: Task,
    model_choice: ModelChoice,
    settings: Settings,
    jobs: int,
    sizes: Callable[[], list[tuple[int, int]]],
    *,
    one_by_one: bool = False,
) -> Sharing:
    """Decide for a batch of `jobs` pictures.

    On the CPU every core works on a picture of its own. Measured, that takes 0.72 to 0.91 of the time that all cores
    take for one picture after the other. If a measurement of the model is in the cache, it decides.

    Args:
        sizes: (width, height) of the pictures, as far as known.
        one_by_one: the caller puts one picture after the other into the network.

    Raises:
        UsageError: --max-memory is too low.
    """
    cores = settings.threads or devices.cores()
    if speed.expected_device(settings.device) != "cpu":
        pictures = min(max(3, min(cores, MOST_BESIDE_CUDA)), jobs)
        wanted = [Sharing(number, 1, True, True, task.tile) for number in range(pictures, 0, -1)]
    else:
        cores = min(cores, _most_runs())
        together = _together(model_choice, cores, jobs, task.tile) if jobs > 1 and not one_by_one else []
        wanted = [*together, *_one_by_one(cores, min(jobs, 2), task.tile)]
    if settings.max_memory is None:
        return wanted[0]
    return _within(settings.max_memory, wanted, task, model_choice, sizes())


def _together(model_choice: ModelChoice, cores: int, jobs: int, tile: Tile) -> list[Sharing]:
    """Several pictures in the network at the same time: first the fastest, then those that need less memory."""
    known = model_choice.known_speed()
    if known is not None and known.side_by_side is not None and known.side_by_side > known.seconds_per_megapixel:
        return [Sharing(min(3, jobs), 1, True, True, tile)]
    # With fewer pictures than cores, the cores that are left take part in their runs.
    fastest = Sharing(min(cores, jobs), cores, None if jobs < cores else False, False, tile)
    return [fastest, *(Sharing(number, number, False, False, tile) for number in range(fastest.pictures - 1, 1, -1))]


def _one_by_one(cores: int, pictures: int, tile: Tile) -> list[Sharing]:
    """One picture in the network, its tiles side by side; fewer runs at the same time need less memory."""
    found = [Sharing(pictures, runs, None, True, tile) for runs in range(cores, 0, -1)]
    return found if pictures == 1 else [*found, Sharing(1, 1, None, True, tile)]


def _most_runs() -> int:
    return max(1, memory.total() // 4 // RUN)


def _within(
    limit: str, wanted: list[Sharing], task: Task, model_choice: ModelChoice, sizes: list[tuple[int, int]]
) -> Sharing:
    """The first of `wanted` that stays below the limit, with tiles that do."""
    import dataclasses

    most = estimate.parse_memory(limit)
    if not sizes:
        return wanted[-1]
    largest = max(sizes, key=lambda size: size[0] * size[1])
    scale = task.area_factor(model_choice.card) ** 0.5
    measured = model_choice.speed()
    for sharing in wanted:
        try:
            tile = estimate.tile_for(
                measured,
                model_choice.card,
                most,
                largest,
                scale=scale,
                pictures=sharing.pictures,
                runs=sharing.runs,
                beside=task.pixels_beside,
            )
        except UsageError:
            if sharing is wanted[-1]:
                raise
            continue
        if isinstance(tile, int) and tile < LEAST_TILE and sharing is not wanted[-1]:
            continue
        keep = tile == "auto" or tile is None
        return dataclasses.replace(sharing, tile=task.tile if keep else tile)
    raise AssertionError("the last one returns or raises")


def refuse_too_large(
    jobs: list[Job],
    task: Task,
    model_choice: ModelChoice,
    settings: Settings,
    size_of: Callable[[Job], tuple[int, int] | None],
) -> list[Job]:
    """The jobs of a batch. A picture that alone needs more than --max-memory gets a problem: it fails alone.

    `size_of` returns the size (width, height) of a job's picture, if known.

    Raises:
        UsageError: --max-memory is not a size.
    """
    import dataclasses

    if settings.max_memory is None:
        return jobs
    most, card, jobs = estimate.parse_memory(settings.max_memory), model_choice.card, list(jobs)
    scale = task.area_factor(card) ** 0.5
    found = [(index, size_of(job)) for index, job in _to_do(jobs)]
    known = [(size[0] * size[1], index, size) for index, size in found if size is not None]
    for _, index, size in sorted(known, reverse=True):
        try:
            estimate.tile_for(model_choice.speed(), card, most, size, scale=scale, beside=task.pixels_beside)
        except UsageError as error:
            jobs[index] = dataclasses.replace(jobs[index], problem=PictureError(str(error)))
        else:
            break  # smaller ones fit as well
    return jobs


def _to_do(jobs: list[Job]) -> Iterator[tuple[int, Job]]:
    return ((index, job) for index, job in enumerate(jobs) if job.problem is None and job.skip is None)


def within_memory(
    task: Task, model_choice: ModelChoice, settings: Settings, sizes: Callable[[], list[tuple[int, int]]]
) -> Task:
    """The task with tiles that keep the process below --max-memory, if one picture is in the network at a time.

    `sizes` returns the sizes (width, height) of the pictures.

    Raises:
        UsageError: even the smallest tiles need more.
    """
    if settings.max_memory is None:
        return task
    found = sizes()
    shared = share(task, model_choice, settings, len(found), lambda: found, one_by_one=True)
    model_choice.share(shared.runs, split=shared.split)
    return task.with_tile(shared.tile)


def sizes_of(files: Iterable[Location | None], stdin: bytes, max_pixels: int) -> list[tuple[int, int]]:
    """Width and height of the pictures, from their headers, where these tell. None stands for stdin."""
    sizes = (size_of(stdin if file is None else file, max_pixels) for file in files)
    return [size for size in sizes if size is not None]


def size_of(file: Location | bytes, max_pixels: int) -> tuple[int, int] | None:
    """Width and height of a picture from its header; None if it does not tell."""
    from img2img.runtime.image import sizes

    if not isinstance(file, StorageFile):
        return next(sizes.of_files([file], max_pixels))
    try:
        with storage.open_file(file) as stream:
            return next(sizes.of_files([stream], max_pixels))
    except PictureError:  # reading it will say why
        return None


class Room:
    """Memory for the pictures in work. Pictures come in first come, first served; a picture alone may exceed it.

    `check` is called while a picture waits; it may raise.
    """

    def __init__(self, size: int | None = None, check: Callable[[], None] = lambda: None) -> None:
        self.size = max(LEAST_ROOM, memory.total() // 8) if size is None else size
        self._check = check
        self._used = 0
        self._door = threading.Lock()
        self._changed = threading.Condition()

    @contextmanager
    def hold(self, size: int) -> Iterator[None]:
        """Wait until `size` bytes fit, and hold them during the block."""
        with self._door, self._changed:
            while self._used and self._used + size > self.size:
                self._check()
                self._changed.wait(POLL)
            self._used += size
        try:
            yield
        finally:
            with self._changed:
                self._used -= size
                self._changed.notify()
