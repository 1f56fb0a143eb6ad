"""Plans jobs: where each result goes, and which jobs cannot run. Neither reads nor writes pictures."""

# os.path answers False where pathlib raises (no permission, for example).
# ruff: noqa: PTH114

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import dataclass, replace
from enum import StrEnum
from pathlib import Path

from img2img.errors import Img2ImgError, PictureError, UsageError
from img2img.runtime.files import shards
from img2img.runtime.files.naming import Naming, OutputPaths, is_template
from img2img.runtime.files.source import PathIdentities, Source, fold, ignores_case
from img2img.runtime.files.storage_uri import Location, StorageFile, is_uri
from img2img.runtime.files.targets import Targets, is_same_file
from img2img.text import show


class Existing(StrEnum):
    """How to handle an existing output file. NEWER replaces it if the input is newer."""

    SKIP = "skip"
    OVERWRITE = "overwrite"
    FAIL = "fail"
    NEWER = "newer"


@dataclass(frozen=True, slots=True)
class Job:
    """One picture and one result.

    Attributes:
        source: None for stdin.
        target: None for stdout, or if the job has a problem.
        format: Pillow's name of the output format. None follows the target's suffix, or on stdout the source's format.
        overwrite: whether the job may replace an existing target.
        problem: the error that fails the job before it starts.
        skip: the reason for skipping the job.
        domain: the domain of its `Naming`, if one source has several results.
        exists: whether the target existed at planning time.
        times: the access and modification times of the result, ns since 1970; None: those of its writing.
    """

    source: Location | None
    target: Location | None
    format: str | None = None
    overwrite: bool = False
    problem: Img2ImgError | None = None
    skip: str | None = None
    domain: str = ""
    exists: bool = False
    times: tuple[int, int] | None = None

    @property
    def label(self) -> str:
        """The name of the input, for messages."""
        return "stdin" if self.source is None else show(self.source)

    def with_label(self, text: str, *, about: object) -> str:
        """Prefix a message with the input's name, unless the message is about the input and already names it."""
        return text if about is not None and str(about) == str(self.source) else f"{self.label}: {text}"


def plan(
    sources: Sequence[Source],
    naming: Naming | Sequence[Naming],
    *,
    existing: Existing = Existing.SKIP,
    shard: tuple[int, int] | None = None,
) -> list[Job]:
    """Plan one job for each source and naming. Jobs are ordered by source, then by `naming`.

    An input with the name of another input's result counts as an earlier result and is skipped. This happens when a
    glob is used again and finds `photo_x4.png` next to `photo.png`. With `shard` (index, count), only the jobs of this
    shard are returned; `shards.owners` assigns sources to shards. Names are compared across all sources, so that every
    shard raises the same errors, but no shard checks the outputs of another.

    Raises UsageError if two jobs have the same output, a result would replace its own input (allowed with
    Existing.OVERWRITE), several results go to one file or to stdout, a template has an unknown field, an extension
    cannot be written, or an output exists (with Existing.FAIL).
    """
    namings = [naming] if isinstance(naming, Naming) else naming
    places = [OutputPaths(one) for one in namings]
    for place in places:
        _refuse_single_output(sources, place, each=len(namings))
    jobs, of_source = [], []
    for number, source in enumerate(sources):
        for place in places if source.problem is None else places[:1]:  # a missing file is one failure
            jobs.append(_job(source, place, existing))
            of_source.append(number)
    identify = PathIdentities()
    keys = [None if job.target is None else identify(job.target) for job in jobs]
    jobs = _skip_results(jobs, keys, identify)
    _refuse_collisions(jobs, keys, identify, existing)
    if shard is not None:
        part, of = shard
        owners = shards.owners(sources, of)
        jobs = [job for job, number in zip(jobs, of_source, strict=True) if owners[number] == part]
    return _look_at_targets(jobs, existing)


def describe(job: Job) -> str:
    """Describe a job on one line: `photo.jpg -> out/photo.png`, or why it fails or is skipped."""
    if job.problem is not None:
        return f"failed: {job.with_label(str(job.problem), about=job.problem.path)}"
    if job.skip is not None:
        return f"skipped: {job.label}: {job.skip}"
    return f"{job.label} -> {'stdout' if job.target is None else show(job.target)}"


def _refuse_single_output(sources: Sequence[Source], place: OutputPaths, *, each: int) -> None:
    """Raises UsageError if several results, or those of a folder, go to one file. `each` is the results per source."""
    output, count = place.naming.output, each * len(sources)
    if output == "":
        raise UsageError("-o is empty: name a file, a folder or a template")
    if each > 1 and (output == "-" or (output is None and any(source.path is None for source in sources))):
        raise UsageError(f"stdout takes one picture, not {count}: name a folder with -o")
    if output is None or is_template(output) or place.folder is not None:
        return
    if count == 1 and sources[0].root is None:
        return
    if output == "-":
        raise UsageError(f"-o - takes one picture, not {count}")
    wanted = f"{count} results are wanted" if count > 1 else "the input is a folder"
    hint = "name a folder"
    if not is_uri(output):
        apart = "new" if each == 1 else "{domain}"
        beside = Path(output).parent
        template = show(beside / f"{{stem}}_{apart}.{{ext}}")
        hint += f" (-o {show(Path(output).with_suffix(''))}/) or a template (-o '{template}')"
    raise UsageError(f"-o {show(output)} is one file, but {wanted}: {hint}")


def _job(source: Source, place: OutputPaths, existing: Existing) -> Job:
    if source.problem is not None:
        return Job(source.path, None, problem=source.problem, domain=place.naming.domain)
    target = place.of(source)
    overwrite = existing in (Existing.OVERWRITE, Existing.NEWER)
    return Job(source.path, target, place.format_of(target), overwrite=overwrite, domain=place.naming.domain)


def _skip_results(jobs: Sequence[Job], keys: Sequence[str | None], identify: PathIdentities) -> list[Job]:
    made_by = {key: job for key, job in zip(keys, jobs, strict=True) if key is not None}

    def judge(job: Job) -> Job:
        maker = made_by.get(identify(job.source)) if job.source is not None else None
        if maker is None or maker.source == job.source or job.problem is not None:
            return job
        return replace(job, skip=f"by its name the result of {maker.label}; give it alone if it is not")

    return [judge(job) for job in jobs]


def _refuse_collisions(
    jobs: Sequence[Job], keys: Sequence[str | None], identify: PathIdentities, existing: Existing
) -> None:
    makers: dict[str, Job] = {}
    folded: dict[str, Job] = {}
    for job, key in zip(jobs, keys, strict=True):
        if key is None or job.target is None or job.skip is not None:
            continue
        if job.overwrite and isinstance(job.target, Path) and os.path.islink(job.target):
            key = identify(Path(os.path.realpath(job.target)))  # overwriting replaces the target of a link
        first = makers.setdefault(key, job)
        if first is job and isinstance(job.target, Path):
            first = folded.setdefault(fold(key), job)
            if first is not job and not ignores_case(job.target.parent):
                first = job
        if first is not job:
            raise UsageError(_collision(first, job))
        if existing is not Existing.OVERWRITE and job.source is not None and is_same_file(job.source, job.target):
            raise UsageError(
                f"{job.label} would be replaced by its own result: give another -o, or say --existing overwrite"
            )


def _collision(first: Job, second: Job) -> str:
    both, apart = f"{first.label} and {second.label} would both", "{name}_new"
    if first.source == second.source:
        both, apart = f"{first.label} as {first.domain} and as {second.domain} would", "{stem}_{domain}"
    hint = f"name the results apart with a template (-o '{{dir}}/{apart}.{{ext}}')"
    if isinstance(second.target, StorageFile):
        hint = "do them one after the other"
    return f"{both} become {show(second.target)}: {hint}"


def _look_at_targets(jobs: Sequence[Job], existing: Existing) -> list[Job]:
    files = [job.target for job in jobs if job.skip is None]
    if existing is Existing.NEWER:
        files += [job.source for job in jobs if job.target is not None]
    targets = Targets(files)
    taken: list[Location] = []

    def judge(job: Job) -> Job:
        target = job.target
        if target is None or job.skip is not None:
            return job
        if targets.is_file(target):
            taken.append(target)
            job = replace(job, exists=True)
            if existing is Existing.SKIP:
                return replace(job, skip=f"{show(target)} exists")
            if existing is Existing.NEWER and job.source is not None and not targets.is_newer(job.source, target):
                return replace(job, skip=f"{show(target)} is not older than its input")
        problem = targets.why_unwritable(target)
        if problem is not None:
            error = PictureError(f"{show(target)}: cannot be written: {problem}", path=str(target))
            return replace(job, problem=error)
        return job

    judged = [judge(job) for job in jobs]
    if existing is Existing.FAIL and taken:
        more = f" (and {len(taken) - 1} more)" if len(taken) > 1 else ""
        raise UsageError(f"{show(taken[0])} exists{more}: move it away, or say --existing skip|overwrite|newer")
    return judged
