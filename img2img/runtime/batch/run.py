"""Runs a prepared batch and yields its events, for the command line and for `img2img.batch`."""

from __future__ import annotations

import dataclasses
import threading
from collections.abc import Callable, Generator
from contextlib import AbstractContextManager, closing, nullcontext
from typing import TYPE_CHECKING, Any

from img2img.runtime.batch.event import COMPRESSED, ProgressListener, SilentListener
from img2img.runtime.batch.run_job import Batch, JobItem, PictureFiles, Steps, Stop, decided_event, run_job
from img2img.runtime.tasks.checked import CheckedTask
from img2img.runtime.tasks.settings import Engine
from img2img.threads import start

if TYPE_CHECKING:
    from img2img.runtime.batch.event import Event
    from img2img.runtime.batch.sharing import Sharing
    from img2img.runtime.image.pictures import Picture
    from img2img.runtime.network.grid import Tile
    from img2img.runtime.network.session import LoadedModel
    from img2img.runtime.tasks.suggestions import Suggestions


def run(batch: Batch, watch: ProgressListener | None = None, *, hashes: bool = True) -> Generator[Event, None, None]:
    """Run a batch; yield one event for each of its jobs, in the order in which they end.

    Events of compressed JPEGs name a model that suits them better, if there is one.

    With `fail_fast` the first failure is the last event. An exception in the consumer stops the batch; every thread has
    ended before the exception goes on. Without `hashes`, the event of a single picture has no digest.
    """
    suggest: Suggestions | None = None
    with closing(_events(batch, watch or SilentListener(), hashes)) as events:
        for event in events:
            if event.status == "done" and (event.jpeg_quality or 100) < COMPRESSED:
                suggest = suggest or _suggestions(batch)
                yield dataclasses.replace(event, suggestion=suggest.cleaner)
            else:
                yield event
            if event.status == "failed" and batch.settings.fail_fast:
                return


def _suggestions(batch: Batch) -> Suggestions:
    from img2img.runtime.tasks.suggestions import Suggestions  # only compressed photos need it

    return Suggestions(batch.task, batch.model_choice)


def _events(batch: Batch, watch: ProgressListener, hashes: bool) -> Generator[Event, None, None]:
    if batch.settings.engine is Engine.RAY:
        from img2img.runtime.batch.ray import driver

        return driver.run(batch, watch)
    return _single(batch, watch, hashes) if batch.homes == [None] else _many(batch, watch)


def _single(batch: Batch, watch: ProgressListener, hashes: bool) -> Generator[Event, None, None]:
    """A single picture that no journal records: read, apply and write, one after the other in one thread."""
    (item,) = batch.items
    decided = decided_event(item)
    if decided is not None:
        yield decided
        return
    tile, stop = batch.task.tile, Stop(batch.model_choice.stop)
    if batch.settings.max_memory is not None:
        tile = _share(batch).tile
    model = batch.model_choice.load()
    files = _files(batch, model, hashes=hashes)
    apply = _apply_step(batch, tile, watch, stop)
    steps = Steps(lambda item: files.read(item.job), apply, lambda item, result: files.write(item.job, result))
    with model.cores.busy():
        event = run_alone(item, steps, stop)
    yield event


def run_alone(item: JobItem, steps: Steps, stop: Stop) -> Event:
    """Run one job in a thread of its own, while this thread waits and can take a Ctrl-C at any time."""
    found: list[Event | BaseException] = []

    def work() -> None:
        try:
            found.append(run_job(item, steps))
        except BaseException as error:  # raised again below
            found.append(error)

    thread = start(work, name="picture")
    try:
        stop.join(thread)
    except BaseException:
        stop.set()
        stop.join(thread)
        raise
    if isinstance(found[0], BaseException):
        raise found[0]
    return found[0]


def _many(batch: Batch, watch: ProgressListener) -> Generator[Event, None, None]:
    """Several pictures at the same time, with journals."""
    from img2img.runtime.batch.journal.resume import Busy, JournaledFiles
    from img2img.runtime.batch.pipeline import run_jobs

    items = batch.items
    if not batch.to_do:
        yield from filter(None, map(decided_event, items))
        return
    shared, stop = _share(batch), Stop(batch.model_choice.stop)
    model = batch.model_choice.load()  # if the model does not load, that is one error, not one per picture
    files = JournaledFiles(batch, _files(batch, model))
    apply = _apply_step(batch, shared.tile, watch, stop)
    network = threading.Lock() if shared.one_by_one else nullcontext()
    steps = Steps(files.read, apply, files.write, files.release, (nullcontext(), network, nullcontext()))
    options: dict[str, Any] = {"stop": stop, "cores": model.cores, "fail_fast": batch.settings.fail_fast}
    options |= {"workers": shared.pictures, "admit": _admit(batch, shared, stop)}
    busy: list[JobItem] = []
    try:
        # The threads use the journals to their end: the events are closed before them.
        with closing(run_jobs(items, steps, **options)) as events:
            for event in events:
                if isinstance(event.error, Busy):
                    busy.append(items[event.index])
                else:
                    yield event
        # Try again what another process was making: it may have died since.
        with closing(run_jobs(busy, steps, **options)) as events:
            yield from events
        files.tidy()
    finally:
        files.close()


def _share(batch: Batch) -> Sharing:
    """Decide how the pictures share the machine. The model is loaded for that later."""
    from img2img.runtime.batch import sharing

    shared = sharing.share(batch.task, batch.model_choice, batch.settings, len(batch.to_do), batch.sizes)
    batch.model_choice.share(shared.runs, split=shared.split)
    return shared


def _files(batch: Batch, model: LoadedModel, *, hashes: bool = True) -> PictureFiles:
    settings = batch.settings
    cores = model.cores if model.device == "cpu" else None  # beside a GPU, all of them are free to encode
    limit, first, quality, strip = settings.limit, settings.first_frame, settings.quality, settings.strip
    return PictureFiles(limit, first, quality, batch.stdin, hashes, cores, strip=strip)


def _apply_step(batch: Batch, tile: Tile, watch: ProgressListener, stop: Stop) -> Callable[[JobItem, Picture], Picture]:
    settings = batch.settings
    task = batch.task if tile == batch.task.tile else batch.task.with_tile(tile)
    checked = CheckedTask(task, batch.model_choice, settings.color_fix, settings.check_seams)

    def apply(item: JobItem, picture: Picture) -> Picture:
        def progress(pixels: int) -> None:
            stop.check()
            watch.advance(item.index, pixels)

        stop.check()
        watch.begin(item.index, picture.size[0] * picture.size[1])
        return checked(item.job, picture, progress)

    return apply


def _admit(batch: Batch, shared: Sharing, stop: Stop) -> Callable[[JobItem], AbstractContextManager[object]]:
    """Keeps the pictures in work within the memory. With --max-memory their number does that."""
    from img2img.runtime.batch import sharing
    from img2img.runtime.network import estimate

    if shared.pictures == 1 or batch.settings.max_memory is not None:
        return lambda item: nullcontext()
    card = batch.model_choice.card
    scale = max(batch.task.area_factor(card) ** 0.5, card.scale)
    room = sharing.Room(check=stop.check)

    def admit(item: JobItem) -> AbstractContextManager[object]:
        sizes = sharing.sizes_of([item.job.source], batch.stdin, batch.settings.limit)
        return room.hold(estimate.picture_memory(sizes[0], scale) if sizes else 0)

    return admit
