"""Runs `img2img compare`: prints what fails, the figures and the means, and writes the page or the sheet."""

from __future__ import annotations

import math
import sys
from collections.abc import Callable, Sequence
from contextlib import ExitStack, closing
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from img2img.cli import console, figures
from img2img.cli.batch_report import Display, NoProgress
from img2img.cli.compare_outputs import Output, Total, output_of
from img2img.errors import ExitStatus, PictureError, UsageError
from img2img.evaluation.comparison import measuring, plan, run, sides
from img2img.evaluation.comparison.wishes import Wishes
from img2img.runtime.files.jobs import Job
from img2img.text import count_of, show

if TYPE_CHECKING:
    from img2img.evaluation.comparison.looks import Look
    from img2img.evaluation.comparison.plan import Plan
    from img2img.evaluation.comparison.run import Done, Runner


@dataclass(frozen=True)
class Request:
    """The command line of `compare`, but for --votes."""

    inputs: Sequence[str]
    sides: Sequence[str]
    wishes: Wishes
    output: Path
    truth: Path | None = None
    recursive: bool = False
    blind: bool = False
    seed: int = 0
    json: bool = False
    quiet: bool = False


def compare(request: Request) -> ExitStatus:
    """Compare, print and write.

    Raises:
        UsageError: something is wrong that can be told before any picture is read.
        Img2ImgError: no side can be used, or the file cannot be written.
    """
    wishes = request.wishes
    report = _Report(request)
    found = sides.resolve(request.sides, wishes, report.note)
    if request.blind and len(found.sides) < 2:
        raise UsageError("--blind needs two sides to choose from: use --with twice")
    planned = plan.prepare(
        request.inputs, found, wishes, truth=request.truth, recursive=request.recursive, output=request.output
    )
    runner = run.Runner(planned)
    for problem in (*found.problems, *planned.problems, *runner.problems):
        report.problem(str(problem))
    for note in planned.notes:
        report.note(note)
    border = math.ceil(found.scale) if found.scale is not None and found.scale > 1 else 0
    with ExitStack() as stack:
        output = stack.enter_context(output_of(request.output, runner, border, blind=request.blind, seed=request.seed))
        total = _run(runner, output, report, planned)
        if not any(one.pictures for one in total.sides.values()):
            raise PictureError("no side has a result: nothing to show")
        output.write(total)
    report.finish(total, output.about, planned)
    return ExitStatus.SOME_FAILED if report.problems else ExitStatus.OK


def _run(runner: Runner, output: Output, report: _Report, planned: Plan) -> Total:
    """Run all pictures and sum up their figures."""
    display = _display(runner, planned, quiet=report.quiet or report.json)
    report.say = display.say
    done: list[Done[None]] = []
    cases: list[dict[str, dict[str, float]]] = []
    try:
        with closing(runner.run(output.look, display)) as results:  # on Ctrl-C, its threads end first
            for index, one in enumerate(results):
                display.finish(index)
                report.take(one)
                if one.value is not None:
                    output.take(one.name, one.value)
                    cases.append(one.value.figures)
                done.append(run.without_value(one))
    finally:
        display.close()
        report.say = console.say
    names = [side.name for side in runner.sides]
    return Total(
        measuring.totals(names, cases),
        run.seconds_per_megapixel(done, names, runner.at_once),
        {side.name: side.card.parameters for side in runner.models},
        list(report.problems),
    )


def _display(runner: Runner, planned: Plan, *, quiet: bool) -> Display:
    if quiet or not console.is_terminal():
        return NoProgress()
    from img2img.cli.progress import Bar

    scale = planned.sides.scale or 1.0
    return Bar([Job(entry.path, None) for entry in planned.entries], area=scale**2 * max(len(runner.models), 1))


class _Report:
    """Prints problems, notes and figures as they come.

    Attributes:
        say: prints one line for people.
        problems: what has failed.
    """

    def __init__(self, request: Request) -> None:
        self.json, self.quiet = request.json, request.quiet
        self.output = request.output
        self.say: Callable[[str], None] = console.say
        self.problems: list[str] = []
        self._unmeasured: dict[str, list[str]] = {}  # the beginning of a reason -> pictures

    def problem(self, text: str) -> None:
        self.problems.append(text)
        console.error(text, say=self.say)

    def note(self, text: str) -> None:
        if not self.quiet:
            self.say(text)

    def take(self, one: Done[Look]) -> None:
        """One picture is done."""
        for problem in one.problems:
            self.problem(problem)
        for note in one.notes:
            self.note(f"{one.name}: {note}")
        if one.value is None:
            return
        for reason in one.value.notes:
            self._unmeasured.setdefault(reason.partition(" ")[0], []).append(f"{one.name}: {reason}")
        if self.json:
            console.write_json(_record(one.name, one.value, one.problems))

    def finish(self, total: Total, about: str, planned: Plan) -> None:
        """The means, and what has been written."""
        for reasons in self._unmeasured.values():
            self.note(f"not measured in {count_of(len(reasons), 'picture')}, such as {reasons[0]}")
        if self.json:
            console.write_json({"picture": "mean", "sides": total.records(), "problems": len(self.problems)})
        else:
            columns, rows = total.table()
            figures.table(count_of(len(planned.entries), "picture"), columns, rows)
            sys.stdout.flush()
        if not self.quiet:
            console.say(f"wrote {show(self.output)}: {about}")


def _record(name: str, look: Look, problems: Sequence[str]) -> dict[str, Any]:
    crops = [list(crop) for crop in look.differences.crops]
    return {
        "picture": name,
        "figures": look.figures,
        "difference": look.differences.mean,
        "crops": crops,
        "problems": list(problems),
    }
