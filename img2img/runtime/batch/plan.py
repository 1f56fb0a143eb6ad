"""Plans a batch: finds the pictures, chooses the model, and decides where each result goes and what is skipped."""

# os.path answers False where pathlib raises (no permission, for example).
# ruff: noqa: PTH112, PTH113

from __future__ import annotations

import dataclasses
import os
import sys
from collections.abc import Callable, Collection, Sequence
from contextlib import suppress
from pathlib import Path
from typing import BinaryIO

from img2img.errors import UsageError
from img2img.runtime.batch.event import Notify
from img2img.runtime.batch.run_job import Batch
from img2img.runtime.files import naming
from img2img.runtime.files.jobs import Existing, Job
from img2img.runtime.files.lists import read_stream
from img2img.runtime.files.naming import Naming, is_template
from img2img.runtime.files.source import SYSTEM_FILES, Source
from img2img.runtime.files.storage_uri import Location, StorageFile, is_uri, relative_to, without_file_scheme
from img2img.runtime.network import models
from img2img.runtime.tasks.checked import check_color_fix
from img2img.runtime.tasks.settings import Settings
from img2img.runtime.tasks.task import ModelChoice, Task
from img2img.text import show


def prepare(
    inputs: Sequence[str],
    task: Task,
    settings: Settings,
    *,
    notify: Notify | None = None,
    stdin: BinaryIO | None = None,
    dry: bool = False,
    only: Collection[Path] | None = None,
) -> Batch:
    """Plan a batch for the command line or for `img2img.batch`. Looks at names, the model's card and the journals.

    Args:
        inputs: files, folders, globs, URIs, or "-" for `stdin`.
        notify: receives messages about the model and the journals.
        dry: write nothing, not even a journal.
        only: plan for all inputs, but leave out the jobs of others.

    Raises:
        UsageError: there is nothing to do, options contradict each other, or a storage does not answer.
        ModelError: the model does not exist, or is for another task.
    """
    path = _single_file(inputs, settings)
    if path is None:
        settings = dataclasses.replace(settings, output=_without_file_scheme(settings.output))
        sources = collect(inputs, settings, stdin)
    else:
        sources = [Source(path)]
    sources = task.select_sources(sources)
    times = _times_of(sources) if settings.keep_times else {}
    data = _read(stdin, settings) if any(source.path is None for source in sources) else b""

    def pixels() -> float:
        from img2img.runtime.batch.sharing import sizes_of

        sizes = sizes_of((source.path for source in sources), data, settings.limit)
        return float(sum(width * height for width, height in sizes))

    model_choice = choose_model(task, settings, pixels, notify)
    task = task.with_card(model_choice.card)
    if settings.color_fix:
        check_color_fix(model_choice.card)
    namings = task.namings(model_choice.card, settings)
    if settings.suffix is not None:
        from_stdin = any(source.path is None for source in sources)
        namings = naming.with_suffix(namings, settings.suffix, from_stdin=from_stdin)
    job = None if path is None else _job_for_new_file(path, namings, settings)
    if job is not None:
        task, (job,) = task.with_masks([dataclasses.replace(job, times=times.get(path))], sources)
        return Batch([job], [None], task, model_choice, settings)
    batch = _plan_all(sources, namings, task, model_choice, settings, data, only)
    if not data and any(job.source is None for job in batch.to_do):
        raise UsageError("standard input is empty: pipe a picture into it, or name a file")
    batch.jobs = [dataclasses.replace(job, times=times.get(job.source)) for job in batch.jobs] if times else batch.jobs
    batch = _with_journals(batch, notify, dry=dry)
    if settings.max_memory is not None and len(batch.jobs) > 1:
        from img2img.runtime.batch.sharing import refuse_too_large

        batch.jobs = refuse_too_large(batch.jobs, batch.task, model_choice, settings, batch.size_of)
    return batch


def _times_of(sources: Sequence[Source]) -> dict[Location | None, tuple[int, int]]:
    """The access and modification times of local files. Reading a file changes the first, so this comes before."""
    found: dict[Location | None, tuple[int, int]] = {}
    for source in sources:
        if isinstance(source.path, Path):
            with suppress(OSError):  # the job reports files that are missing
                status = source.path.stat()
                found[source.path] = status.st_atime_ns, status.st_mtime_ns
    return found


def _single_file(inputs: Sequence[str], settings: Settings) -> Path | None:
    """The input if it is a single file on this machine, and nothing must be searched or shared out; otherwise None."""
    if len(inputs) != 1 or settings.files_from is not None or settings.null or settings.shard is not None:
        return None
    (name,) = inputs
    if name == "-" or "://" in name or not os.path.isfile(name) or Path(name).name.casefold() in SYSTEM_FILES:
        return None
    return Path(name)


def _job_for_new_file(path: Path, namings: Sequence[Naming], settings: Settings) -> Job | None:
    """The job for one file if its result is a new file in an existing folder: no names or files are in the way.

    None if the planner for all cases must decide.
    """
    from img2img.runtime.image.writing import SUFFIXES

    output, (one, *others) = settings.output, namings
    if others or settings.format is not None or path.suffix.lower() not in SUFFIXES:
        return None
    if output is None:
        target = path.with_name(path.stem + one.suffix + path.suffix)
    elif os.path.isdir(output):
        target = Path(output, path.stem + one.ending + path.suffix)
    elif output == "-" or "{" in output or "://" in output or output.endswith(("/", os.sep)):
        return None
    else:
        target = Path(output)
    format = SUFFIXES.get(target.suffix.lower())
    if format is None or os.path.lexists(target):
        return None
    if not os.path.isdir(target.parent) or not os.access(target.parent, os.W_OK | os.X_OK):
        return None
    overwrite = settings.existing in (Existing.OVERWRITE, Existing.NEWER)
    return Job(path, target, format, overwrite=overwrite, domain=one.domain)


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
    threads, assumed = settings.threads, settings.assumed()
    return ModelChoice(
        path, task.name, settings.device, threads, assumed, notify, verify=settings.verify, doing=task.doing
    )


def _plan_all(
    sources: Sequence[Source],
    namings: Sequence[Naming],
    task: Task,
    model_choice: ModelChoice,
    settings: Settings,
    stdin: bytes,
    only: Collection[Path] | None,
) -> Batch:
    from img2img.runtime.files import jobs, shards

    shard = None if settings.shard is None else shards.parse_shard(settings.shard)
    planned = jobs.plan(sources, namings, existing=settings.existing, shard=shard)
    mine = sources if shard is None else shards.shard(sources, *shard)
    source_of_job = [source for source in mine for _ in (namings if source.problem is None else namings[:1])]
    if only is not None:
        kept = [(job, source) for job, source in zip(planned, source_of_job, strict=True) if job.source in only]
        planned, source_of_job = [job for job, _ in kept], [source for _, source in kept]
    task, planned = task.with_masks(planned, source_of_job)
    homes: list[Path | None] = [None] * len(planned)
    if settings.journal:
        output = naming.output_folder(settings.output)
        pairs = zip(planned, source_of_job, strict=True)
        homes = [_journal_folder(job, source, output, len(planned)) for job, source in pairs]
    return Batch(planned, homes, task, model_choice, settings, stdin)


def _with_journals(batch: Batch, notify: Notify | None, *, dry: bool) -> Batch:
    """The batch without the jobs that the journals know to be done."""
    if any(batch.homes) and batch.settings.existing is Existing.SKIP:
        from img2img.runtime.batch.journal.resume import skip_completed

        batch.jobs = skip_completed(batch, notify, write=not dry)
    return batch


def _without_file_scheme(output: str | None) -> str | None:
    return None if output is None else without_file_scheme(output)


def collect(inputs: Sequence[str], settings: Settings, stdin: BinaryIO | None = None) -> list[Source]:
    """The pictures that the inputs and the settings name. Raises UsageError if there are none."""
    from img2img.runtime.files import filters, find, lists

    listed: list[str] = []
    if settings.files_from is not None:
        stream = stdin or sys.stdin.buffer
        limit = settings.bytes_of_lists()
        listed = lists.read(settings.files_from, null=settings.null, stdin=stream, inputs=inputs, limit=limit)
    elif settings.null:
        raise UsageError("-0 says how names end in --files-from FILE: say that as well")
    elif not inputs:
        raise UsageError("name pictures, folders, or - for stdin (or --files-from FILE)")
    wanted = filters.Filters(settings.include, settings.exclude)
    output = naming.output_folder(settings.output)
    sources = find.collect(inputs, listed=listed, recursive=settings.recursive, exclude=output, filters=wanted)
    _refuse_with_uris(sources, settings.output or "")
    return sources


def _refuse_with_uris(sources: Sequence[Source], output: str) -> None:
    has_uris = any(isinstance(source.path, StorageFile) for source in sources)
    if has_uris and any(source.path is None for source in sources):
        raise UsageError("a picture from stdin does not go with URIs: give it alone, and name a file with -o")
    if is_template(output) and (has_uris or is_uri(output)):
        raise UsageError(f"-o {show(output)}: templates are for paths, not for URIs: name a folder")


def _read(stdin: BinaryIO | None, settings: Settings) -> bytes:
    if stdin is None and sys.stdin.isatty():
        raise UsageError("stdin is a terminal: pipe a picture into it, or name a file")
    return read_stream(stdin or sys.stdin.buffer, settings.bytes_of_pictures(), "standard input")


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
