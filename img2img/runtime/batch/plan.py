"""Plans a batch: finds the pictures, chooses the model, and decides where each result goes and what is skipped."""

from __future__ import annotations

import dataclasses
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import BinaryIO

from img2img.errors import UsageError
from img2img.runtime.batch.event import Notify
from img2img.runtime.batch.prepare import Batch, choose_model, sizes_of
from img2img.runtime.files import filters, find, jobs, lists, naming, shards
from img2img.runtime.files.jobs import Job
from img2img.runtime.files.source import Source
from img2img.runtime.files.storage_uri import Location, StorageFile, is_uri, relative_to, without_file_scheme
from img2img.runtime.tasks.settings import Settings
from img2img.runtime.tasks.task import Task
from img2img.text import show


def prepare(
    inputs: Sequence[str],
    task: Task,
    settings: Settings,
    *,
    notify: Notify | None = None,
    stdin: BinaryIO | None = None,
    dry: bool = False,
) -> Batch:
    """Plan a batch for the command line or for `img2img.batch`. Looks at names, the model's card and the journals.

    Args:
        inputs: files, folders, globs, URIs, or "-" for `stdin`.
        notify: receives messages about the model and the journals.
        dry: write nothing, not even a journal.

    Raises:
        UsageError: there is nothing to do, options contradict each other, or a storage does not answer.
        ModelError: the model does not exist, or is for another task.
    """
    if settings.output is not None:
        settings = dataclasses.replace(settings, output=without_file_scheme(settings.output))
    shard = None if settings.shard is None else shards.parse_shard(settings.shard)
    output = naming.output_folder(settings.output)
    sources = task.select_sources(_collect(inputs, settings, output, stdin))
    data = _read(stdin) if any(source.path is None for source in sources) else b""

    def pixels() -> float:
        sizes = sizes_of((source.path for source in sources), data)
        return float(sum(width * height for width, height in sizes))

    model_choice = choose_model(task, settings, pixels, notify)
    task = task.with_card(model_choice.card)
    namings = task.namings(model_choice.card, settings)
    planned = jobs.plan(sources, namings, existing=settings.existing, shard=shard)
    mine = sources if shard is None else shards.shard(sources, *shard)
    source_of_job = [source for source in mine for _ in (namings if source.problem is None else namings[:1])]
    task, planned = task.with_masks(planned, source_of_job)
    homes: list[Path | None] = [None] * len(planned)
    if settings.journal:
        pairs = zip(planned, source_of_job, strict=True)
        homes = [_journal_folder(job, source, output, len(planned)) for job, source in pairs]
    batch = Batch(planned, homes, task, model_choice, settings, data)
    if any(homes) and settings.existing is jobs.Existing.SKIP:
        from img2img.runtime.batch.journal.resume import skip_completed

        batch.jobs = skip_completed(batch, notify, write=not dry)
    return batch


def _collect(
    inputs: Sequence[str], settings: Settings, output: Location | None, stdin: BinaryIO | None
) -> list[Source]:
    listed: list[str] = []
    if settings.files_from is not None:
        stream = stdin or sys.stdin.buffer
        listed = lists.read(settings.files_from, null=settings.null, stdin=stream, inputs=inputs)
    elif settings.null:
        raise UsageError("-0 says how names end in --files-from FILE: say that as well")
    elif not inputs:
        raise UsageError("name pictures, folders, or - for stdin (or --files-from FILE)")
    wanted = filters.Filters(settings.include, settings.exclude)
    sources = find.collect(inputs, listed=listed, recursive=settings.recursive, exclude=output, filters=wanted)
    _refuse_with_uris(sources, settings.output or "")
    return sources


def _refuse_with_uris(sources: Sequence[Source], output: str) -> None:
    has_uris = any(isinstance(source.path, StorageFile) for source in sources)
    if has_uris and any(source.path is None for source in sources):
        raise UsageError("a picture from stdin does not go with URIs: give it alone, and name a file with -o")
    if naming.is_template(output) and (has_uris or is_uri(output)):
        raise UsageError(f"-o {show(output)}: templates are for paths, not for URIs: name a folder")


def _read(stdin: BinaryIO | None) -> bytes:
    if stdin is None and sys.stdin.isatty():
        raise UsageError("stdin is a terminal: pipe a picture into it, or name a file")
    return (stdin or sys.stdin.buffer).read()


def _journal_folder(job: Job, source: Source, output: Location | None, count: int) -> Path | None:
    """The folder for the results of the whole batch, if it is on this machine: its journal records the result."""
    if not isinstance(job.target, Path) or isinstance(source.path, StorageFile):
        return None
    if source.root is None or source.path is None:
        return output if count > 1 and isinstance(output, Path) else None
    folder = job.target
    for _ in relative_to(source.path, source.root).parts:
        folder = folder.parent
    return folder if output is None or folder == output or output in folder.parents else None
