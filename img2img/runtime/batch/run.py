"""Runs a prepared batch and yields its events, for the command line and for `img2img.batch`."""

from __future__ import annotations

from collections.abc import Generator
from contextlib import closing
from typing import TYPE_CHECKING

from img2img.runtime.batch.event import ProgressListener, SilentListener
from img2img.runtime.batch.prepare import Batch, within_memory
from img2img.runtime.batch.run_job import JobItem, Steps
from img2img.runtime.tasks.settings import Engine

if TYPE_CHECKING:
    from img2img.runtime.batch.event import Event
    from img2img.runtime.image.pictures import Picture


def run(batch: Batch, watch: ProgressListener | None = None) -> Generator[Event, None, None]:
    """Do a batch; one event for each of its jobs, in the order in which they end.

    With `fail_fast` the first failure is the last event. An exception in the consumer stops the batch and every thread
    has ended before it goes on.
    """
    events = _on_ray(batch, watch) if batch.settings.engine is Engine.RAY else _here(batch, watch or SilentListener())
    with closing(events):
        for event in events:
            yield event
            if event.status == "failed" and batch.settings.fail_fast:
                return


def _here(batch: Batch, watch: ProgressListener) -> Generator[Event, None, None]:
    from img2img.runtime.batch.journal.resume import Busy, JournaledFiles
    from img2img.runtime.batch.picture_files import PictureFiles
    from img2img.runtime.batch.pipeline import Stop, run_jobs
    from img2img.runtime.image.pictures import DEFAULT_MAX_PIXELS
    from img2img.runtime.tasks.retry import RetryingTask

    settings, task = batch.settings, batch.task
    files = PictureFiles(settings.max_pixels or DEFAULT_MAX_PIXELS, settings.first_frame, settings.quality, batch.stdin)
    if batch.to_do:
        batch.model_choice.load()  # a model that does not load is one error, and not one for each picture
        task = within_memory(task, batch.model_choice, settings, batch.sizes)
    retrying = RetryingTask(task, batch.model_choice, settings.color_fix, settings.check_seams)
    stop = Stop()

    def apply(item: JobItem, picture: Picture) -> Picture:
        def progress(pixels: int) -> None:
            stop.check()
            watch.advance(item.index, pixels)

        watch.begin(item.index, picture.size[0] * picture.size[1])
        return retrying(item.job, picture, progress)

    journaled = JournaledFiles(batch, files)
    steps = Steps(journaled.read, apply, journaled.write, journaled.release)
    busy: list[JobItem] = []
    try:
        # The threads write in the journal to their end: close the events before it.
        with closing(run_jobs(batch.items, steps, stop=stop)) as events:
            for event in events:
                if isinstance(event.error, Busy):
                    busy.append(batch.items[event.index])
                else:
                    yield event
        # Try again what another process was making: it may have died since.
        with closing(run_jobs(busy, steps, stop=stop)) as events:
            yield from events
        journaled.tidy()
    finally:
        journaled.close()


def _on_ray(batch: Batch, watch: ProgressListener | None) -> Generator[Event, None, None]:
    from img2img.runtime.batch.ray import driver

    return driver.run(batch, watch)
