"""Runs a task on the inputs of a command and reports the results. All commands that process pictures use it."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from contextlib import closing
from typing import TYPE_CHECKING

from img2img.cli import console
from img2img.errors import ExitStatus, UsageError

if TYPE_CHECKING:
    from img2img.runtime.batch.prepare import Batch
    from img2img.runtime.tasks.settings import Settings
    from img2img.runtime.tasks.task import Task


MANY = 20  # from this number of pictures on, measuring the model for a second is worthwhile


def process(
    inputs: Sequence[str] | None, task: Task, settings: Settings, *, dry_run: bool, json: bool, quiet: bool
) -> ExitStatus:
    """Process the inputs and report the results. Loads the model only if there is work to do."""
    from img2img.cli.progress import Bar, Display, Plain
    from img2img.cli.report import Report
    from img2img.runtime.batch import plan, run

    talkative = console.is_terminal() and not quiet and not json
    batch = plan.prepare(inputs or (), task, settings, notify=console.say if talkative else None, dry=dry_run)
    if dry_run:
        from img2img.cli.dry_run import list_jobs

        return list_jobs(batch, json=json)
    to_do = batch.to_do
    _refuse_wrong_streams(batch, json=json)
    area = batch.task.area_factor(batch.model_choice.card) if to_do else 1
    told = talkative and len(to_do) >= MANY
    if told:
        from img2img.cli.forecast import forecast

        console.say(f"{len(to_do)} pictures: {forecast(batch)}")
    display: Display = Bar(batch.jobs, area=area, told=told) if talkative and to_do else Plain()
    report = Report(display, as_json=json, quiet=quiet, fail_fast=settings.fail_fast)
    # Close it explicitly: on Ctrl-C, all threads must end before the message is printed.
    with closing(run.run(batch, display)) as events:
        return report.take_all(events)


def _refuse_wrong_streams(batch: Batch, *, json: bool) -> None:
    if any(job.target is None for job in batch.to_do):
        if json:
            raise UsageError("stdout cannot carry both the picture and --json: set an output with -o")
        if sys.stdout.isatty():
            raise UsageError("stdout is a terminal: redirect it, or set an output with -o")
