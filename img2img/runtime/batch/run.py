"""Runs a prepared batch and yields its events, for the command line and for `img2img.batch`."""

from __future__ import annotations

import threading
from collections.abc import Callable, Generator
from contextlib import AbstractContextManager, closing, nullcontext
from typing import TYPE_CHECKING, Any

from img2img.runtime.batch.event import ProgressListener, SilentListener
from img2img.runtime.batch.prepare import Batch
from img2img.runtime.batch.run_job import JobItem, Steps, Stop, decided_event, run_alone
from img2img.runtime.tasks.settings import Engine

if TYPE_CHECKING:
    from img2img.runtime.batch.event import Event
    from img2img.runtime.batch.picture_files import PictureFiles
    from img2img.runtime.batch.sharing import Sharing
    from img2img.runtime.image.pictures import Picture
    from img2img.runtime.tasks.task import Task


def run(batch: Batch, watch: ProgressListener | None = None) -> Generator[Event, None, None]:
    """Run a batch; yield one event for each of its jobs, in the order in which they end.

    With `fail_fast` the first failure is the last event. An exception in the consumer stops the batch; every thread has
    ended before the exception goes on.
    """
    with closing(_events(batch, watch or SilentListener())) as events:
        for event in events:
            yield event
            if event.status == "failed" and batch.settings.fail_fast:
                return


def _events(batch: Batch, watch: ProgressListener) -> Generator[Event, None, None]:
    if batch.settings.engine is Engine.RAY:
        from img2img.runtime.batch.ray import driver

        return driver.run(batch, watch)
    return _alone(batch, watch) if batch.homes == [None] else _many(batch, watch)


def _alone(batch: Batch, watch: ProgressListener) -> Generator[Event, None, None]:
    """A single picture that no journal records: read, apply and write, one after the other in one thread."""
    (item,) = batch.items
    decided = decided_event(item)
    if decided is not None:
        yield decided
        return
    shared, files, stop = _share(batch), _files(batch), Stop()
    apply = _apply_step(batch, shared, watch, stop)
    steps = Steps(lambda item: files.read(item.job), apply, lambda item, result: files.write(item.job, result))
    with batch.model_choice.load().cores.busy():
        event = run_alone(item, steps, stop)
    yield event


def _many(batch: Batch, watch: ProgressListener) -> Generator[Event, None, None]:
    """Several pictures at the same time, with journals."""
    from img2img.runtime.batch.journal.resume import Busy, JournaledFiles
    from img2img.runtime.batch.pipeline import run_jobs

    items = batch.items
    if not batch.to_do:
        yield from filter(None, map(decided_event, items))
        return
    shared, files, stop = _share(batch), JournaledFiles(batch, _files(batch)), Stop()
    apply = _apply_step(batch, shared, watch, stop)
    network = threading.Lock() if shared.one_by_one else nullcontext()
    steps = Steps(files.read, apply, files.write, files.release, (nullcontext(), network, nullcontext()))
    cores, admit = batch.model_choice.load().cores, _admit(batch, shared, stop)

    def run_all(some: list[JobItem]) -> Generator[Event, None, None]:
        options: dict[str, Any] = {"stop": stop, "admit": admit, "fail_fast": batch.settings.fail_fast}
        return run_jobs(some, steps, workers=shared.pictures, cores=cores, **options)

    busy: list[JobItem] = []
    try:
        # The threads use the journals to their end: the events are closed before them.
        with closing(run_all(items)) as events:
            for event in events:
                if isinstance(event.error, Busy):
                    busy.append(items[event.index])
                else:
                    yield event
        # Try again what another process was making: it may have died since.
        with closing(run_all(busy)) as events:
            yield from events
        files.tidy()
    finally:
        files.close()


def _share(batch: Batch) -> Sharing:
    """Decide how the pictures share the machine, and load the model for that: if it fails, it fails once."""
    from img2img.runtime.batch import sharing

    shared = sharing.share(batch.task, batch.model_choice, batch.settings, len(batch.to_do), batch.sizes)
    batch.model_choice.share(shared.runs, split=shared.split)
    batch.model_choice.load()
    return shared


def _files(batch: Batch) -> PictureFiles:
    from img2img.runtime.batch.picture_files import PictureFiles
    from img2img.runtime.image.pictures import DEFAULT_MAX_PIXELS

    settings = batch.settings
    return PictureFiles(settings.max_pixels or DEFAULT_MAX_PIXELS, settings.first_frame, settings.quality, batch.stdin)


def _apply_step(
    batch: Batch, shared: Sharing, watch: ProgressListener, stop: Stop
) -> Callable[[JobItem, Picture], Picture]:
    from img2img.runtime.tasks.retry import RetryingTask

    settings = batch.settings
    task: Task = batch.task.with_tile(shared.tile)
    retrying = RetryingTask(task, batch.model_choice, settings.color_fix, settings.check_seams)

    def apply(item: JobItem, picture: Picture) -> Picture:
        def progress(pixels: int) -> None:
            stop.check()
            watch.advance(item.index, pixels)

        stop.check()
        watch.begin(item.index, picture.size[0] * picture.size[1])
        return retrying(item.job, picture, progress)

    return apply


def _admit(batch: Batch, shared: Sharing, stop: Stop) -> Callable[[JobItem], AbstractContextManager[object]]:
    """Keeps the pictures in work within the memory. With --max-memory their number does that."""
    from img2img.runtime.batch import sharing
    from img2img.runtime.batch.prepare import sizes_of
    from img2img.runtime.network import estimate

    if shared.pictures == 1 or batch.settings.max_memory is not None:
        return lambda item: nullcontext()
    card = batch.model_choice.card
    scale = max(batch.task.area_factor(card) ** 0.5, card.scale)
    room = sharing.Room(check=stop.check)

    def admit(item: JobItem) -> AbstractContextManager[object]:
        sizes = sizes_of([item.job.source], batch.stdin)
        return room.hold(estimate.picture_memory(sizes[0], scale) if sizes else 0)

    return admit
