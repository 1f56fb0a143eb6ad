"""From what a person said to a batch, and from a batch to its events; for the command line and for `img2img.batch`."""

from __future__ import annotations

import sys
from collections.abc import Generator, Sequence
from contextlib import closing
from pathlib import Path
from typing import TYPE_CHECKING, BinaryIO

from img2img.errors import UsageError
from img2img.runtime.batches import remote
from img2img.runtime.batches.planned import Batch, Tell, Unwatched, Watch, choose, sizes_of, within_memory
from img2img.runtime.batches.settings import Engine, Settings
from img2img.runtime.listing import files, lists, selecting, targets
from img2img.runtime.listing.files import Source
from img2img.runtime.listing.targets import Job
from img2img.runtime.verbs.verb import Verb

if TYPE_CHECKING:
    from img2img.runtime.batches.batch import Event
    from img2img.runtime.image.pictures import Picture


def prepare(
    inputs: Sequence[str],
    verb: Verb,
    settings: Settings,
    *,
    tell: Tell | None = None,
    stdin: BinaryIO | None = None,
    dry: bool = False,
) -> Batch:
    """Look at names, at the model's card, and at the journals; nothing is decoded or run.

    Args:
        inputs: files, folders, globs, or "-" for `stdin`.
        tell: is told what a person should know of the model and the journals.
        dry: not even a journal is to be written.

    Raises:
        UsageError: there is nothing to do, or what was said contradicts itself.
        ModelError: there is no such model, or it is not for this.
    """
    inputs, settings = remote.as_paths(inputs, settings)
    if remote.are_meant(inputs, settings):
        return remote.prepare(inputs, verb, settings, tell=tell, stdin=stdin)
    shard = None if settings.shard is None else selecting.parse_shard(settings.shard)
    output = targets.output_folder(settings.output)
    sources = verb.photos(_collected(inputs, settings, output, stdin))
    data = _read(stdin) if any(source.path is None for source in sources) else b""

    def pixels() -> float:
        return float(sum(width * height for width, height in sizes_of(sources, data)))

    chosen = choose(verb, settings, pixels, tell)
    verb = verb.fitted(chosen.card)
    namings = verb.namings(chosen.card, settings)
    jobs = targets.plan(sources, namings, existing=settings.existing, shard=shard)
    mine = sources if shard is None else selecting.shard(sources, *shard)
    by_job = [source for source in mine for _ in (namings if source.problem is None else namings[:1])]
    verb, jobs = verb.prepared(jobs, by_job)
    homes = [_home(job, source, output, len(jobs)) for job, source in zip(jobs, by_job, strict=True)]
    if not settings.journal:
        homes = [None] * len(jobs)
    batch = Batch(jobs, homes, verb, chosen, settings, data)
    if any(homes) and settings.existing is targets.Existing.SKIP:
        from img2img.runtime.batches.journalled import by_the_journal

        batch.jobs = by_the_journal(batch, tell, write=not dry)
    return batch


def run(batch: Batch, watch: Watch | None = None) -> Generator[Event, None, None]:
    """Do a batch; one event for each of its jobs, in the order in which they end.

    With `fail_fast` the first failure is the last event. An exception in the consumer stops the batch and every thread
    has ended before it goes on.
    """
    events = _on_ray(batch, watch) if batch.settings.engine is Engine.RAY else _here(batch, watch or Unwatched())
    with closing(events):
        for event in events:
            yield event
            if event.status == "failed" and batch.settings.fail_fast:
                return


def _here(batch: Batch, watch: Watch) -> Generator[Event, None, None]:
    from img2img.runtime.batches.batch import Check, run_batch
    from img2img.runtime.batches.careful import Careful
    from img2img.runtime.batches.journalled import Busy, Journalled
    from img2img.runtime.batches.transfer import Transfer
    from img2img.runtime.image.pictures import DEFAULT_MAX_PIXELS

    settings, verb = batch.settings, batch.verb
    transfer = Transfer(settings.max_pixels or DEFAULT_MAX_PIXELS, settings.first_frame, settings.quality, batch.stdin)
    if batch.to_do:
        batch.chosen.load()  # a model that does not load is one error, and not one for each picture
        verb = within_memory(verb, batch.chosen, settings, batch.sizes)
    careful = Careful(verb, batch.chosen, settings.color_fix, settings.check_seams)

    def work(job: Job, picture: Picture, check: Check) -> Picture:
        def progress(pixels: int) -> None:
            check()
            watch.advance(pixels)

        watch.begin(job, picture.size[0] * picture.size[1])
        return careful(job, picture, progress)

    journalled = Journalled(batch, transfer)
    busy: list[Job] = []

    def events(jobs: Sequence[Job]) -> Generator[Event, None, None]:
        # Closed before the journal is, which the threads write in to their end.
        with closing(run_batch(jobs, work, read=journalled.read, write=journalled.write)) as found:
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


def _on_ray(batch: Batch, watch: Watch | None) -> Generator[Event, None, None]:
    from img2img.runtime.batches import ray_engine

    return ray_engine.run(batch, watch)


def _collected(inputs: Sequence[str], settings: Settings, output: Path | None, stdin: BinaryIO | None) -> list[Source]:
    listed: list[str] = []
    if settings.files_from is not None:
        stream = stdin or sys.stdin.buffer
        listed = lists.read(settings.files_from, null=settings.null, stdin=stream, inputs=inputs)
    elif settings.null:
        raise UsageError("-0 says how names end in --files-from FILE: say that as well")
    elif not inputs:
        raise UsageError("name pictures, folders, or - for stdin (or --files-from FILE)")
    filters = selecting.Filters(settings.include, settings.exclude)
    return files.collect(inputs, listed=listed, recursive=settings.recursive, exclude=output, filters=filters)


def _read(stdin: BinaryIO | None) -> bytes:
    if stdin is None and sys.stdin.isatty():
        raise UsageError("stdin is a terminal: pipe a picture into it, or name a file")
    return (stdin or sys.stdin.buffer).read()


def _home(job: Job, source: Source, output: Path | None, count: int) -> Path | None:
    """The folder that the results of a whole batch go to, where that is a folder of their own."""
    if job.target is None or (source.root is None and count == 1):
        return None
    if source.root is None or source.path is None:
        return output
    below = source.path.relative_to(source.root).parts
    home = job.target
    for _ in below:
        home = home.parent
    return home if output is None or home == output or output in home.parents else None
