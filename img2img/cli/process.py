"""What all commands share that turn pictures into pictures: from jobs and a model to an exit status."""

from __future__ import annotations

import sys
from collections.abc import Callable, Sequence
from contextlib import closing
from dataclasses import dataclass
from typing import Protocol

from img2img.cli import console
from img2img.cli.progress import Bar, Display, Plain
from img2img.cli.report import Report
from img2img.errors import ExitStatus, UsageError
from img2img.runtime.pictures import Picture
from img2img.runtime.targets import Job


class Apply(Protocol):
    """Does the command's work on the picture of a job; `progress` is told of every piece, in input pixels."""

    def __call__(self, job: Job, picture: Picture, *, progress: Callable[[int], None]) -> Picture: ...


@dataclass(frozen=True, slots=True)
class Manner:
    """How files are read and written and how much is said: the options that have nothing to do with the work."""

    first_frame: bool = False
    max_pixels: int | None = None
    quality: int | None = None
    json: bool = False
    quiet: bool = False


def process(jobs: Sequence[Job], apply: Callable[[], Apply], manner: Manner, *, area: float) -> ExitStatus:
    """Do the jobs and report on them. `apply` is called, and so loads the model, only if there is anything to do.

    `area`: pixels of output for each of input, for the figures that are shown.
    """
    from img2img.runtime.batch import Check, run_batch
    from img2img.runtime.pictures import DEFAULT_MAX_PIXELS
    from img2img.runtime.transfer import Transfer

    to_do = [job for job in jobs if job.problem is None and job.skip is None]
    _refuse_wrong_streams(to_do, manner)
    stdin = sys.stdin.buffer.read() if any(job.source is None for job in to_do) else b""
    transfer = Transfer(manner.max_pixels or DEFAULT_MAX_PIXELS, manner.first_frame, manner.quality, stdin)
    function = apply() if to_do else None
    watched = console.is_terminal() and not manner.quiet and not manner.json
    display: Display = Bar(jobs, area=area) if watched and to_do else Plain()

    def work(job: Job, picture: Picture, check: Check) -> Picture:
        def progress(pixels: int) -> None:
            check()
            display.advance(pixels)

        assert function is not None
        display.begin(job, picture.colour.shape[0] * picture.colour.shape[1])
        return function(job, picture, progress=progress)

    report = Report(display, as_json=manner.json, quiet=manner.quiet)
    # Closed here and not when it is collected: on Ctrl-C all threads are to end before anything is said.
    with closing(run_batch(jobs, work, read=transfer.read, write=transfer.write)) as events:
        return report.take_all(events)


def _refuse_wrong_streams(jobs: Sequence[Job], manner: Manner) -> None:
    if any(job.source is None for job in jobs) and sys.stdin.isatty():
        raise UsageError("stdin is a terminal: pipe a picture into it, or name a file")
    if any(job.target is None for job in jobs):
        if manner.json:
            raise UsageError("stdout cannot carry both the picture and --json: name an output with -o")
        if sys.stdout.isatty():
            raise UsageError("stdout is a terminal: redirect it, or name an output with -o")
