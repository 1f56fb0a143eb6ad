"""Keeps processing what arrives in a folder: the option --watch."""

from __future__ import annotations

import time
from collections.abc import Sequence
from contextlib import closing

from img2img.cli import console
from img2img.cli.batch_report import NoProgress, Report, Told
from img2img.errors import ExitStatus
from img2img.runtime.batch import run
from img2img.runtime.batch.watch import Watch
from img2img.runtime.tasks.settings import Settings
from img2img.runtime.tasks.task import Task
from img2img.text import show


def watch(inputs: Sequence[str], task: Task, settings: Settings, *, json: bool, quiet: bool) -> ExitStatus:
    """Process what is in the folders and what arrives there, until Ctrl-C or SIGTERM.

    A picture in work is then given up, and the next start does it. Returns the exit status: 1 if a picture failed.
    """
    told = Told(quiet=quiet, once=True)
    watched = Watch(inputs, task, settings, told.add)
    report = Report(NoProgress(), told, as_json=json, quiet=quiet, fail_fast=settings.fail_fast, each=True)
    if not quiet:
        console.say(f"watching {', '.join(map(show, inputs))}; Ctrl-C ends it")
    try:
        while not (settings.fail_fast and report.counts["failed"]):
            batch = watched.look()
            if batch is None:
                time.sleep(watched.pause)
                continue
            with closing(run.run(batch, hashes=json)) as events:
                report.take(events)
    except KeyboardInterrupt:
        pass  # the only way to end, so this is no failure
    return report.end()
