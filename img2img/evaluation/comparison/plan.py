"""Plans a comparison: which pictures, with which truth, masks and earlier results. Reads no pixels."""

from __future__ import annotations

import dataclasses
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

from img2img.errors import Img2ImgError, PictureError, UsageError
from img2img.evaluation.comparison.matching import inside, match
from img2img.evaluation.comparison.sides import FolderSide, Sides
from img2img.evaluation.comparison.wishes import Wishes
from img2img.runtime.files.find import collect
from img2img.runtime.files.jobs import Job
from img2img.runtime.files.source import Source, identity
from img2img.runtime.tasks.inpaint import InpaintTask
from img2img.text import count_of, show


@dataclass(frozen=True)
class Entry:
    """One picture to compare.

    Attributes:
        name: tells it from all others: its path below the folder that was named, or its whole path.
        truth: its truth, or why there is none; None: the comparison has no truth.
        results: its result in each folder side by the side's name, or why there is none.
        mask_problem: why its mask is missing.
    """

    name: str
    path: Path
    truth: Path | PictureError | None = None
    results: dict[str, Path | PictureError] = field(default_factory=dict)
    mask_problem: str | None = None


@dataclass(frozen=True)
class Plan:
    """A comparison that is ready to run.

    Attributes:
        holes: finds the holes of the pictures; None: nothing is filled.
        problems: inputs that cannot be read.
        notes: remarks, one line each.
    """

    entries: list[Entry]
    sides: Sides
    wishes: Wishes
    has_truth: bool
    holes: InpaintTask | None = None
    problems: list[Img2ImgError] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)


def prepare(
    inputs: Sequence[str],
    sides: Sides,
    wishes: Wishes,
    *,
    truth: Path | None = None,
    recursive: bool = False,
    output: Path | None = None,
) -> Plan:
    """Find the pictures and what belongs to them.

    Args:
        output: the file to write, which is no input even if it lies among them.

    Raises:
        UsageError: there are no pictures, or a folder has none that fits an input.
    """
    if "-" in inputs:
        raise UsageError("compare reads files and folders, not stdin")
    sources, problems = _sources(inputs, recursive, output)
    holes = None
    if wishes.mask is not None:
        holes = InpaintTask(mask=wishes.mask, max_pixels=wishes.max_pixels)
        sources = holes.select_sources(sources)
    paths = [source.path for source in sources if isinstance(source.path, Path)]
    entries = [Entry(name, path) for name, path in zip(_names(sources), paths, strict=True)]
    notes = []
    folders = {side.name: side.folder for side in sides.sides if isinstance(side, FolderSide)}
    for name, folder in folders.items():
        found, unused = match(folder, sources)
        entries = [
            dataclasses.replace(entry, results={**entry.results, name: one})
            for entry, one in zip(entries, found, strict=True)
        ]
        notes += _unused(folder, unused, paths)
    if truth is not None:
        if not truth.is_dir():
            raise UsageError(f"--truth {show(truth)}: no such folder")
        found, unused = match(truth, sources, is_truth=True)
        entries = [dataclasses.replace(entry, truth=one) for entry, one in zip(entries, found, strict=True)]
        notes += _unused(truth, unused, paths)
    if holes is not None:
        holes, jobs = holes.with_masks([Job(path, None) for path in paths], sources)
        reasons = [None if job.problem is None else str(job.problem) for job in jobs]
        entries = [
            dataclasses.replace(entry, mask_problem=reason) for entry, reason in zip(entries, reasons, strict=True)
        ]
    return Plan(entries, sides, wishes, truth is not None, holes, problems, notes)


def _sources(inputs: Sequence[str], recursive: bool, output: Path | None) -> tuple[list[Source], list[Img2ImgError]]:
    collected = collect(inputs, recursive=recursive)
    kept: list[Source] = []
    problems: list[Img2ImgError] = []
    own = None if output is None else identity(output)
    for source in collected:
        if source.problem is not None:
            problems.append(source.problem)
        elif not isinstance(source.path, Path):
            raise UsageError(f"{show(source.path)}: compare reads files on this machine only")
        elif identity(source.path) != own:
            kept.append(source)
    if not kept:
        raise UsageError(str(problems[0]) if problems else "no pictures among the inputs")
    return kept, problems


def _names(sources: Sequence[Source]) -> list[str]:
    """Short names, but for pictures that would share one."""
    short = [show(inside(source).as_posix()) for source in sources]
    counts = Counter(short)
    return [name if counts[name] == 1 else show(source.path) for name, source in zip(short, sources, strict=True)]


def _unused(folder: Path, unused: Sequence[Path], inputs: Sequence[Path]) -> list[str]:
    """A note about the pictures of a folder that belong to no input. The folder may also hold the inputs."""
    known = set(map(identity, inputs))
    others = [path for path in unused if identity(path) not in known]
    if not others:
        return []
    first = show(others[0].relative_to(folder))
    return [f"{show(folder)}: {count_of(len(others), 'picture')} without an input, such as {first}"]
