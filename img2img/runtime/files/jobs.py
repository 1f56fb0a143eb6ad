"""Pictures to be read -> jobs: where each result goes, and what stands against it. Nothing is read or written here."""

# os.path answers False where pathlib raises (no permission, say), and its abspath leaves links alone.
# ruff: noqa: PTH110, PTH112, PTH116

from __future__ import annotations

import os
import stat
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from enum import StrEnum
from functools import cache
from pathlib import Path

from img2img.errors import Img2ImgError, PictureError, UsageError
from img2img.runtime.files import shards
from img2img.runtime.files.naming import Naming, OutputPaths, is_template
from img2img.runtime.files.source import PathIdentities, Source, fold, ignores_case
from img2img.text import show


class Existing(StrEnum):
    """What happens where an output file exists already; NEWER replaces it where the input was changed after it."""

    SKIP = "skip"
    OVERWRITE = "overwrite"
    FAIL = "fail"
    NEWER = "newer"


@dataclass(frozen=True, slots=True)
class Job:
    """One picture from where to where.

    `source` None is stdin, `target` None is stdout (or nowhere, with a problem). `format` is Pillow's name of the
    format to write; None follows the target's suffix, on stdout the source's format. `overwrite` says that an existing
    target may be replaced. `domain` is that of its `Naming`: what is to be made of this source, where several things
    are. A job with a `problem` has failed and a job with a `skip` reason is done before it begins. `exists` says that
    the target was there when that was looked at.
    """

    source: Path | None
    target: Path | None
    format: str | None = None
    overwrite: bool = False
    problem: Img2ImgError | None = None
    skip: str | None = None
    domain: str = ""
    exists: bool = False

    @property
    def label(self) -> str:
        """The input as a person knows it."""
        return "stdin" if self.source is None else show(self.source)


def plan(
    sources: Sequence[Source],
    naming: Naming | Sequence[Naming],
    *,
    existing: Existing = Existing.SKIP,
    shard: tuple[int, int] | None = None,
) -> list[Job]:
    """One job a source and naming: all those of the first source in the order of `naming`, then the next source's.

    An input whose name is that of another input's result (`photo_x4.png` next to `photo.png`, in the second call with
    a glob) is taken for an earlier result and skipped. With `shard` (part, of how many) only the jobs of the sources
    that `shards.shard` gives to this part are returned; names are compared over all of them nevertheless, so that
    every part refuses the same, and no part looks at another's outputs.

    Raises UsageError where the names cannot be meant: two jobs with one output, an input that its own result would
    replace (allowed with Existing.OVERWRITE), a file or stdout as the output of several jobs, an unknown template
    field, an extension that cannot be written, an output that exists (with Existing.FAIL).
    """
    namings = [naming] if isinstance(naming, Naming) else naming
    places = [OutputPaths(one) for one in namings]
    for place in places:
        _refuse_contradictions(sources, place, results=len(namings))
    jobs, of_source = [], []
    for number, source in enumerate(sources):
        for place in places if source.problem is None else places[:1]:  # what is not there is missing once
            jobs.append(_job(source, place, existing))
            of_source.append(number)
    identify = PathIdentities()
    keys = [None if job.target is None else identify(job.target) for job in jobs]
    jobs = _pass_over_results(jobs, keys, identify)
    _refuse_collisions(jobs, keys, identify, existing)
    if shard is not None:
        part, of = shard
        owners = shards.owners(sources, of)
        jobs = [job for job, number in zip(jobs, of_source, strict=True) if owners[number] == part]
    return _look_at_targets(jobs, existing)


def describe(job: Job) -> str:
    """What is to become of a job, on one line: `photo.jpg -> out/photo.png`, or why nothing is."""
    if job.problem is not None:
        text = str(job.problem)
        return f"failed: {text}" if job.label in text else f"failed: {job.label}: {text}"
    if job.skip is not None:
        return f"skipped: {job.label}: {job.skip}"
    return f"{job.label} -> {'stdout' if job.target is None else show(job.target)}"


def _refuse_contradictions(sources: Sequence[Source], place: OutputPaths, *, results: int) -> None:
    """`results`: of each source."""
    output = place.naming.output
    if output == "":
        raise UsageError("-o is empty: name a file, a folder or a template")
    if results > 1 and (output == "-" or (output is None and any(source.path is None for source in sources))):
        raise UsageError(f"stdout takes one picture, not {results * len(sources)}: name a folder with -o")
    single = output is not None and not is_template(output) and place.folder is None
    if output is not None and single and results > 1:
        raise UsageError(
            f"-o {show(output)} is one file, but {results} results are wanted: name a folder"
            f" (-o {show(Path(output).stem)}/) or a template (-o '{{stem}}_{{domain}}.{{ext}}')"
        )
    if output is not None and single and (len(sources) > 1 or any(source.root for source in sources)):
        if output == "-":
            raise UsageError(f"-o - takes one picture, not {len(sources)}")
        raise UsageError(
            f"-o {show(output)} is one file, but there are several inputs or a folder: "
            f"name a folder (-o {show(Path(output).stem)}/) or a template (-o '{{stem}}_new.{{ext}}')"
        )


def _job(source: Source, place: OutputPaths, existing: Existing) -> Job:
    if source.problem is not None:
        return Job(source.path, None, problem=source.problem, domain=place.naming.domain)
    target = place.of(source)
    overwrite = existing in (Existing.OVERWRITE, Existing.NEWER)
    return Job(source.path, target, place.format_of(target), overwrite=overwrite, domain=place.naming.domain)


def _pass_over_results(jobs: Sequence[Job], keys: Sequence[str | None], identify: PathIdentities) -> list[Job]:
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
        there = _status(job.target)
        if job.overwrite and there is not None and stat.S_ISLNK(there.st_mode):
            key = identify(Path(os.path.realpath(job.target)))  # what a link points to is what gets replaced
        first = makers.setdefault(key, job)
        if first is job:
            first = folded.setdefault(fold(key), job)
            if first is not job and not ignores_case(job.target.parent):
                first = job
        if first is not job:
            raise UsageError(_collision(first, job))
        if there is not None and existing is not Existing.OVERWRITE and _same_file(job.source, job.target, there):
            raise UsageError(
                f"{job.label} would be replaced by its own result: give another -o, or say --existing overwrite"
            )


def _collision(first: Job, second: Job) -> str:
    both, apart = f"{first.label} and {second.label} would both", "{name}_new"
    if first.source == second.source:
        both, apart = f"{first.label} as {first.domain} and as {second.domain} would", "{stem}_{domain}"
    return (
        f"{both} become {show(second.target or '')}: "
        f"name the results apart with a template (-o '{{dir}}/{apart}.{{ext}}')"
    )


def _same_file(source: Path | None, target: Path, there: os.stat_result) -> bool:
    """By what is on the disk: a file system may ignore case, and a symbolic link is written through."""
    try:
        return source is not None and os.path.samestat(os.stat(source), _followed(target, there))
    except OSError:
        return False


def _look_at_targets(jobs: Sequence[Job], existing: Existing) -> list[Job]:
    in_the_way: Callable[[Path], str | None] = cache(_unwritable_folder)
    taken: list[Path] = []

    def judge(job: Job) -> Job:
        target = job.target
        if target is None or job.skip is not None:
            return job
        there = _status(target)
        if there is not None and (stat.S_ISREG(there.st_mode) or stat.S_ISLNK(there.st_mode)):
            taken.append(target)  # nothing is lost in /dev/null or a pipe
            reason = None
            if existing is Existing.SKIP:
                reason = f"{show(target)} exists"
            elif existing is Existing.NEWER and not _is_newer(job.source, target, there):
                reason = f"{show(target)} is not older than its input"
            job = replace(job, exists=True, skip=reason)
            if reason is not None:
                return job
        problem = (_unwritable(target, there) if there is not None else None) or in_the_way(target.parent)
        if problem is not None:
            return replace(job, problem=PictureError(f"{show(target)}: cannot be written: {problem}"))
        return job

    judged = [judge(job) for job in jobs]
    if existing is Existing.FAIL and taken:
        more = f" (and {len(taken) - 1} more)" if len(taken) > 1 else ""
        raise UsageError(f"{show(taken[0])} exists{more}: move it away, or say --existing skip|overwrite|newer")
    return judged


def _status(path: Path) -> os.stat_result | None:
    """Of a link itself; None where nothing is."""
    try:
        return os.lstat(path)
    except (OSError, ValueError):
        return None


def _followed(path: Path, there: os.stat_result) -> os.stat_result:
    """Of what a link leads to; `there` is its `_status`. Raises OSError where it leads nowhere."""
    return os.stat(path) if stat.S_ISLNK(there.st_mode) else there


def _is_newer(source: Path | None, target: Path, there: os.stat_result) -> bool:
    """Whether `source` was changed after `target`. What comes from stdin always is new."""
    try:
        return source is None or os.stat(source).st_mtime_ns > _followed(target, there).st_mtime_ns
    except OSError:  # a dead link: reading or writing says what is wrong with it
        return True


# Why a target cannot be written, as far as can be told without trying; better now than after an hour's work.


def _unwritable(target: Path, there: os.stat_result) -> str | None:
    if os.path.isdir(target) if stat.S_ISLNK(there.st_mode) else stat.S_ISDIR(there.st_mode):
        return "it is a folder"
    if not os.access(target, os.W_OK) and os.path.exists(target):  # not a dead link
        return "it is write-protected"
    return None


def _unwritable_folder(folder: Path) -> str | None:
    while not os.path.lexists(folder) and folder != folder.parent:
        folder = folder.parent
    if not os.path.isdir(folder):
        return f"{show(folder)} is not a folder"
    if not os.access(folder, os.W_OK | os.X_OK):
        return f"no permission to write in {show(folder)}"
    return None
