"""Runs a task on the inputs of a command. All commands that process pictures use it."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from contextlib import closing
from typing import TYPE_CHECKING

from img2img.cli import console
from img2img.cli.batch_report import Display, NoProgress, Report, Told
from img2img.errors import ExitStatus, UsageError
from img2img.text import count_of, show

if TYPE_CHECKING:
    from img2img.runtime.batch.run_job import Batch
    from img2img.runtime.tasks.settings import Settings
    from img2img.runtime.tasks.task import Task


MANY = 20  # from this number of pictures on, measuring the model for a second is worthwhile


def process(
    inputs: Sequence[str] | None,
    task: Task,
    settings: Settings,
    *,
    dry_run: bool,
    json: bool,
    quiet: bool,
    watch: bool = False,
) -> ExitStatus:
    """Process the inputs and report the results. Loads the model only if there is work to do."""
    from img2img.runtime.batch import plan, run

    if watch:
        from img2img.cli.watch import watch as keep_watching

        if dry_run:
            raise UsageError("--watch cannot be combined with --dry-run")
        return keep_watching(inputs or (), task, settings, json=json, quiet=quiet)

    told = Told(quiet=quiet)
    batch = plan.prepare(inputs or (), task, settings, notify=told.add, dry=dry_run)
    if dry_run:
        from img2img.cli.dry_run import list_jobs

        return list_jobs(batch, json=json)
    to_do = batch.to_do
    _refuse_wrong_targets(batch, json=json)
    area = batch.task.area_factor(batch.model_choice.card) if to_do else 1
    with_bar = bool(to_do) and console.is_terminal() and not quiet and not json
    measured = with_bar and len(to_do) >= MANY
    if measured:
        from img2img.cli.forecast import forecast

        console.say(f"{count_of(len(to_do), 'picture')}: {forecast(batch)}")
    display: Display = NoProgress()
    if with_bar:
        from img2img.cli.progress import Bar

        display = Bar(batch.jobs, area=area, told=measured)
    report = Report(display, told, as_json=json, quiet=quiet, fail_fast=settings.fail_fast)
    # On Ctrl-C, close the events here: all threads must end before any message.
    with closing(run.run(batch, display, hashes=json)) as events:
        return report.take_all(events)


def _refuse_wrong_targets(batch: Batch, *, json: bool) -> None:
    from img2img.runtime.files.storage_uri import StorageFile

    if any(job.target is None for job in batch.to_do):
        if json:
            raise UsageError("stdout cannot carry both the picture and --json: set an output with -o")
        if sys.stdout.isatty():
            raise UsageError("stdout is a terminal: redirect it, or set an output with -o")
    for job in batch.to_do:
        if isinstance(job.target, StorageFile) and job.target.scheme == "memory":
            raise UsageError(f"{show(job.target)}: results in memory are lost when the command ends; use another -o")
