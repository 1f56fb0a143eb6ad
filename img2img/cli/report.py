"""`img2img report RUN...`: write an HTML page about a run, or one that compares several."""

from __future__ import annotations

import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from img2img.cli import console
from img2img.errors import ConfigError, ExitStatus, UsageError
from img2img.text import count_of, show

if TYPE_CHECKING:
    from img2img.evaluation.report.folder import Found

PAUSE = 5.0
"""Seconds between two looks at a run with --watch."""

COMPARISON = Path("comparison.html")


def report(
    runs: Annotated[list[Path], typer.Argument(metavar="RUN...", help="Run folders.")],
    output: Annotated[
        Path | None,
        typer.Option(
            "--output",
            "-o",
            metavar="FILE",
            help="Page to write; - for stdout. [default: RUN/report.html; several runs: comparison.html]",
        ),
    ] = None,
    watch: Annotated[bool, typer.Option("--watch", help="Write the page again as long as the run goes on.")] = False,
) -> ExitStatus:
    """Write one HTML page about a training run. It works offline.

    \b
    img2img report runs/pix2pix                       curves, samples, settings, speed: runs/pix2pix/report.html
    img2img report runs/pix2pix --watch               keep the page up to date while the run goes on
    img2img report runs/a runs/b -o comparison.html   compare runs: curves, settings that differ, best checkpoints

    A training writes its page by itself, after each validation and at its end. An open page of a running training loads
    itself again.
    """
    if output is not None and str(output) != "-" and output.suffix.lower() not in (".html", ".htm"):
        raise UsageError(f"-o {show(output)}: the page is HTML, so name it .html")
    if len(runs) > 1:
        if watch:
            raise UsageError("--watch: name one run")
        return _compare(runs, output or COMPARISON)
    from img2img.evaluation.report.folder import RunFolder
    from img2img.evaluation.report.run_page import RELOAD, build
    from img2img.evaluation.report.state import is_running

    folder = RunFolder(runs[0])
    target = output or runs[0] / "report.html"
    if watch and str(target) == "-":
        raise UsageError("--watch needs a file: name one with -o")
    shown = False
    while True:
        running = is_running(runs[0])
        _write(build(folder.read(), running=running, reload=PAUSE if watch else RELOAD), target)
        if not shown:
            _say_written(target)
            shown = True
        if not watch or not running:
            break
        time.sleep(PAUSE)
    if watch:
        console.say("the run has ended")
    return ExitStatus.OK


def _compare(runs: list[Path], target: Path) -> ExitStatus:
    from img2img.evaluation.report.comparison_page import build
    from img2img.evaluation.report.folder import RunFolder

    found: list[Found] = []
    failed: list[str] = []
    places = [run.resolve() for run in runs]
    for run in (run for run, place in zip(runs, places, strict=True) if places.count(place) > 1):
        raise UsageError(f"{show(run)} is given twice")
    for run in runs:
        try:
            found.append(RunFolder(run).read())
        except ConfigError as error:
            failed.append(str(error))
            console.error(str(error), error)
    if not found:
        raise ConfigError(f"none of the {count_of(len(failed), 'folder')} is a run folder")
    _write(build(found, failed), target)
    _say_written(target)
    return ExitStatus.SOME_FAILED if failed else ExitStatus.OK


def _write(html: str, target: Path) -> None:
    if str(target) == "-":
        sys.stdout.write(html)
        sys.stdout.flush()
        return
    from img2img.atomic import atomic

    with atomic(target) as file:
        file.write(html.encode())


def _say_written(target: Path) -> None:
    if str(target) != "-":
        console.say(f"wrote {show(target)}")
