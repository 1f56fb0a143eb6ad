"""Pictures to be read -> jobs: where each result goes, and what stands against it. Nothing is read or written here."""

# os.path answers False where pathlib raises (no permission, say), and its abspath leaves links alone.
# ruff: noqa: PTH100, PTH110, PTH112, PTH113, PTH114, PTH121

from __future__ import annotations

import os
import re
import string
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from enum import StrEnum
from pathlib import Path

from img2img.errors import Img2ImgError, PictureError, UsageError
from img2img.runtime.files import Source, identity
from img2img.runtime.naming import show

TEMPLATE_FIELDS = ("stem", "name", "dir", "model", "domain", "scale", "ext")

_UNFIT = re.compile(r'[\x00-\x1f<>:"/\\|?*{}]')  # in a file name, here or on Windows, or in a template
_SEPARATORS = (os.sep, os.altsep or os.sep)


class Existing(StrEnum):
    """What happens where an output file exists already."""

    SKIP = "skip"
    OVERWRITE = "overwrite"
    FAIL = "fail"


@dataclass(frozen=True, slots=True)
class Job:
    """One picture from where to where.

    `source` None is stdin, `target` None is stdout (or nowhere, with a problem). `format` is Pillow's name of the
    format to write; None follows the target's suffix, on stdout the source's format. `overwrite` says that an existing
    target may be replaced. `domain` is that of its `Naming`: what is to be made of this source, where several things
    are. A job with a `problem` has failed and a job with a `skip` reason is done before it begins.
    """

    source: Path | None
    target: Path | None
    format: str | None = None
    overwrite: bool = False
    problem: Img2ImgError | None = None
    skip: str | None = None
    domain: str = ""

    @property
    def label(self) -> str:
        """The input as a person knows it."""
        return "stdin" if self.source is None else show(self.source)


@dataclass(frozen=True, slots=True)
class Naming:
    """How results are called.

    `output` is what -o said: None (beside the input with `suffix` before the extension; what a folder holds goes to
    `FOLDER{suffix}` under its own name), a file, a folder (existing, or ending in a slash, or without an extension), a
    template such as `{dir}/{stem}_{model}.{ext}`, or `-` for stdout. `format` is an extension such as `jpg`; None keeps
    the input's where it can be written and takes png where not.
    """

    suffix: str
    output: str | None = None
    format: str | None = None
    model: str = ""
    scale: str = ""
    domain: str = ""


def as_part(text: str) -> str:
    """`text` from a model's card as a part of a file name: without separators, braces, and names such as `..`."""
    plain = _UNFIT.sub("_", text)
    return plain if plain.strip(". ") else "_"


def output_folder(output: str | None) -> Path | None:
    """The folder that -o names, or None where it names a file, a template, stdout or nothing."""
    if output is None or output == "-" or _is_template(output):
        return None
    path = Path(output)
    if os.path.exists(path) and not os.path.isdir(path):
        return None
    return path if os.path.isdir(path) or output.endswith(_SEPARATORS) or not path.suffix else None


def plan(
    sources: Sequence[Source], naming: Naming | Sequence[Naming], *, existing: Existing = Existing.SKIP
) -> list[Job]:
    """One job a source and naming: all those of the first source in the order of `naming`, then the next source's.

    An input whose name is that of another input's result (`photo_x4.png` next to `photo.png`, in the second call with
    a glob) is taken for an earlier result and skipped.

    Raises UsageError where the names cannot be meant: two jobs with one output, an input that its own result would
    replace (allowed with Existing.OVERWRITE), a file or stdout as the output of several jobs, an unknown template
    field, an extension that cannot be written, an output that exists (with Existing.FAIL).
    """
    namings = [naming] if isinstance(naming, Naming) else naming
    for one in namings:
        _refuse_contradictions(sources, one, results=len(namings))
    jobs = [
        _job(source, one, existing)
        for source in sources
        for one in (namings if source.problem is None else namings[:1])  # what is not there is missing once
    ]
    jobs = _pass_over_results(jobs)
    _refuse_collisions(jobs)
    return _look_at_targets(jobs, existing)


def _refuse_contradictions(sources: Sequence[Source], naming: Naming, *, results: int) -> None:
    """`results`: of each source."""
    output = naming.output
    if output == "":
        raise UsageError("-o is empty: name a file, a folder or a template")
    if results > 1 and (output == "-" or (output is None and any(source.path is None for source in sources))):
        raise UsageError(f"stdout takes one picture, not {results * len(sources)}: name a folder with -o")
    single = output is not None and not _is_template(output) and output_folder(output) is None
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


def _job(source: Source, naming: Naming, existing: Existing) -> Job:
    if source.problem is not None:
        return Job(source.path, None, problem=source.problem, domain=naming.domain)
    target = _target(source, naming)
    format, overwrite = _file_format(target, naming), existing is Existing.OVERWRITE
    return Job(source.path, target, format, overwrite=overwrite, domain=naming.domain)


def _file_format(target: Path | None, naming: Naming) -> str | None:
    wanted = _format_of(Path(f"x.{naming.format}")) if naming.format is not None else None
    if target is None:
        return wanted
    if wanted is None:
        return _format_of(target)
    named = _known_format(target)
    if named is not None and named != wanted:
        raise UsageError(f"--format {naming.format} contradicts the extension of -o {show(target)}")
    return wanted


def _target(source: Source, naming: Naming) -> Path | None:
    output, path = naming.output, source.path or Path("stdin")
    name = path.stem + _extension(source.path, naming.format)
    inside = path.relative_to(source.root).parent if source.root is not None else Path()
    if output == "-" or (output is None and source.path is None):
        return None
    if output is None and source.root is None:
        return path.with_name(path.stem + naming.suffix + Path(name).suffix)
    if output is None:
        assert source.root is not None
        return _sibling(source.root, naming.suffix) / inside / name
    if _is_template(output):
        filled = _fill(output, _fields(path, name, naming))
        return Path(filled, name) if filled.endswith(_SEPARATORS) else Path(filled)
    folder = output_folder(output)
    return folder / inside / name if folder is not None else Path(output)


def _sibling(folder: Path, suffix: str) -> Path:
    named = folder if folder.name not in ("", "..") else Path(os.path.abspath(folder))
    if not named.name:
        raise UsageError(f"{show(folder)} has no folder beside it for the results: say where with -o")
    return named.with_name(named.name + suffix)


def _extension(path: Path | None, wanted: str | None) -> str:
    """The source's own extension (its spelling kept) where it is, or can be, what is to be written."""
    own = path.suffix if path is not None else ""
    own_format = _known_format(Path(f"x{own}"))
    if wanted is None:
        return own if own_format is not None else ".png"
    return own if own_format == _format_of(Path(f"x.{wanted}")) else f".{wanted}"


def _known_format(path: Path) -> str | None:
    try:
        return _format_of(path)
    except UsageError:
        return None


def _format_of(path: Path) -> str:
    from img2img.runtime.writing import format_for  # numpy and Pillow: the command line reads this module for --help

    try:
        return format_for(path)
    except PictureError as error:
        raise UsageError(str(error)) from error


def _is_template(output: str) -> bool:
    return "{" in output


def _fields(path: Path, name: str, naming: Naming) -> dict[str, str]:
    return {
        "stem": path.stem,
        "name": path.name,
        "dir": str(path.parent),
        "model": naming.model,
        "domain": naming.domain,
        "scale": naming.scale,
        "ext": Path(name).suffix.removeprefix("."),
    }


def _fill(template: str, fields: dict[str, str]) -> str:
    """Plain names between braces only: no attributes, indices or format specifications."""
    try:
        pieces = list(string.Formatter().parse(template))
    except ValueError as error:
        raise UsageError(f"-o {show(template)}: {error}") from error
    filled = ""
    for literal, field, specification, conversion in pieces:
        filled += literal
        if field is None:
            continue
        if field not in fields or specification or conversion:
            known = " ".join(f"{{{name}}}" for name in TEMPLATE_FIELDS)
            raise UsageError(f"-o {show(template)}: unknown field {{{show(field)}}}; there are {known}")
        filled += fields[field]
    return filled


def _pass_over_results(jobs: Sequence[Job]) -> list[Job]:
    made_by = {identity(job.target): job for job in jobs if job.target is not None}

    def judge(job: Job) -> Job:
        maker = made_by.get(identity(job.source)) if job.source is not None else None
        if maker is None or maker.source == job.source or job.problem is not None:
            return job
        return replace(job, skip=f"by its name the result of {maker.label}; give it alone if it is not")

    return [judge(job) for job in jobs]


def _refuse_collisions(jobs: Iterable[Job]) -> None:
    makers: dict[str, Job] = {}
    for job in jobs:
        if job.target is None or job.skip is not None:
            continue
        first = makers.setdefault(identity(job.target), job)
        if first is not job:
            both, apart = f"{first.label} and {job.label} would both", "{name}_new"
            if first.source == job.source:
                both, apart = f"{first.label} as {first.domain} and as {job.domain} would", "{stem}_{domain}"
            raise UsageError(
                f"{both} become {show(job.target)}: "
                f"name the results apart with a template (-o '{{dir}}/{apart}.{{ext}}')"
            )
        if job.source is not None and not job.overwrite and _same_file(job.source, job.target):
            raise UsageError(
                f"{job.label} would be replaced by its own result: give another -o, or say --existing overwrite"
            )


def _same_file(source: Path, target: Path) -> bool:
    if identity(source) == identity(target):
        return True
    # A file system that ignores case, or a link: what a symbolic link points to is what gets written.
    return os.path.exists(target) and os.path.exists(source) and os.path.samefile(source, target)


def _look_at_targets(jobs: Sequence[Job], existing: Existing) -> list[Job]:
    there = [job for job in jobs if job.target is not None and job.skip is None and _is_taken(job.target)]
    if existing is Existing.FAIL and there:
        more = f" (and {len(there) - 1} more)" if len(there) > 1 else ""
        raise UsageError(f"{show(there[0].target or '')} exists{more}: move it away, or say --existing skip|overwrite")

    def judge(job: Job) -> Job:
        if job.target is None or job.skip is not None:
            return job
        if (problem := _obstacle(job.target)) is not None:
            return replace(job, problem=PictureError(f"{show(job.target)}: cannot be written: {problem}"))
        if existing is Existing.SKIP and _is_taken(job.target):
            return replace(job, skip=f"{show(job.target)} exists")
        return job

    return [judge(job) for job in jobs]


def _is_taken(target: Path) -> bool:
    return os.path.isfile(target) or os.path.islink(target)  # but nothing is lost in /dev/null or a pipe


def _obstacle(target: Path) -> str | None:
    """Why `target` cannot be written, as far as can be told without trying; better now than after an hour's work."""
    if os.path.isdir(target):
        return "it is a folder"
    if os.path.exists(target) and not os.access(target, os.W_OK):
        return "it is write-protected"
    folder = target.parent
    while not os.path.lexists(folder) and folder != folder.parent:
        folder = folder.parent
    if not os.path.isdir(folder):
        return f"{show(folder)} is not a folder"
    if not os.access(folder, os.W_OK | os.X_OK):
        return f"no permission to write in {show(folder)}"
    return None
