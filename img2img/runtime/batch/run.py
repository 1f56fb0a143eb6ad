"""Runs a prepared batch and yields its events, for the command line and for `img2img.batch`."""

from __future__ import annotations

from collections.abc import Generator, Sequence
from contextlib import closing
from typing import TYPE_CHECKING

from img2img.runtime.batch.event import ProgressListener, SilentListener
from img2img.runtime.batch.prepare import Batch, within_memory
from img2img.runtime.files.jobs import Job
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
    from img2img.runtime.batch.pipeline import Check, run_jobs
    from img2img.runtime.image.pictures import DEFAULT_MAX_PIXELS
    from img2img.runtime.tasks.retry import RetryingTask

    settings, task = batch.settings, batch.task
    transfer = PictureFiles(
        settings.max_pixels or DEFAULT_MAX_PIXELS, settings.first_frame, settings.quality, batch.stdin
    )
    if batch.to_do:
        batch.model_choice.load()  # a model that does not load is one error, and not one for each picture
        task = within_memory(task, batch.model_choice, settings, batch.sizes)
    careful = RetryingTask(task, batch.model_choice, settings.color_fix, settings.check_seams)

    def work(job: Job, picture: Picture, check: Check) -> Picture:
        def progress(pixels: int) -> None:
            check()
            watch.advance(pixels)

        watch.begin(job, picture.size[0] * picture.size[1])
        return careful(job, picture, progress)

    journalled = JournaledFiles(batch, transfer)
    busy: list[Job] = []

    def events(jobs: Sequence[Job]) -> Generator[Event, None, None]:
        # Closed before the journal is, which the threads write in to their end.
        with closing(run_jobs(jobs, work, read=journalled.read, write=journalled.write)) as found:
            for event in found:
                journalled.release(event.job)
                yield event

    try:
        with closing(events(batch.jobs)) as found:
            for event in found:
                if isinstance(event.error, Busy):
                    busy.append(event.job)
                else:
                    yield event
        with closing(events(busy)) as found:  # whoever was at them may have died since
            yield from found
        journalled.tidy()
    finally:
        journalled.close()


def _on_ray(batch: Batch, watch: ProgressListener | None) -> Generator[Event, None, None]:
    from img2img.runtime.batch.ray import driver

    return driver.run(batch, watch)
