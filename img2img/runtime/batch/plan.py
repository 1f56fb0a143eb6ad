"""From what a person said to a batch, and from a batch to its events; for the command line and for `img2img.batch`."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from pathlib import Path
from typing import BinaryIO

from img2img.errors import UsageError
from img2img.runtime.batch import remote
from img2img.runtime.batch.event import Notify
from img2img.runtime.batch.prepare import Batch, choose, sizes_of
from img2img.runtime.files import filters, find, jobs, lists, naming, shards
from img2img.runtime.files.jobs import Job
from img2img.runtime.files.source import Source
from img2img.runtime.tasks.settings import Settings
from img2img.runtime.tasks.task import Task


def prepare(
    inputs: Sequence[str],
    task: Task,
    settings: Settings,
    *,
    notify: Notify | None = None,
    stdin: BinaryIO | None = None,
    dry: bool = False,
) -> Batch:
    """Look at names, at the model's card, and at the journals; nothing is decoded or run.

    Args:
        inputs: files, folders, globs, or "-" for `stdin`.
        notify: is told what a person should know of the model and the journals.
        dry: not even a journal is to be written.

    Raises:
        UsageError: there is nothing to do, or what was said contradicts itself.
        ModelError: there is no such model, or it is not for this.
    """
    inputs, settings = remote.as_paths(inputs, settings)
    if remote.are_meant(inputs, settings):
        return remote.prepare(inputs, task, settings, notify=notify, stdin=stdin)
    shard = None if settings.shard is None else shards.parse_shard(settings.shard)
    output = naming.output_folder(settings.output)
    sources = task.select_sources(_collected(inputs, settings, output, stdin))
    data = _read(stdin) if any(source.path is None for source in sources) else b""

    def pixels() -> float:
        return float(sum(width * height for width, height in sizes_of(sources, data)))

    model_choice = choose(task, settings, pixels, notify)
    task = task.with_card(model_choice.card)
    namings = task.namings(model_choice.card, settings)
    planned = jobs.plan(sources, namings, existing=settings.existing, shard=shard)
    mine = sources if shard is None else shards.shard(sources, *shard)
    by_job = [source for source in mine for _ in (namings if source.problem is None else namings[:1])]
    task, planned = task.with_masks(planned, by_job)
    homes = [_home(job, source, output, len(planned)) for job, source in zip(planned, by_job, strict=True)]
    if not settings.journal:
        homes = [None] * len(planned)
    batch = Batch(planned, homes, task, model_choice, settings, data)
    if any(homes) and settings.existing is jobs.Existing.SKIP:
        from img2img.runtime.batch.journal.resume import skip_completed

        batch.jobs = skip_completed(batch, notify, write=not dry)
    return batch


def _collected(inputs: Sequence[str], settings: Settings, output: Path | None, stdin: BinaryIO | None) -> list[Source]:
    listed: list[str] = []
    if settings.files_from is not None:
        stream = stdin or sys.stdin.buffer
        listed = lists.read(settings.files_from, null=settings.null, stdin=stream, inputs=inputs)
    elif settings.null:
        raise UsageError("-0 says how names end in --files-from FILE: say that as well")
    elif not inputs:
        raise UsageError("name pictures, folders, or - for stdin (or --files-from FILE)")
    wanted = filters.Filters(settings.include, settings.exclude)
    return find.collect(inputs, listed=listed, recursive=settings.recursive, exclude=output, filters=wanted)


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
