"""`--dry-run`: lists the jobs of a batch and estimates the time."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING

from img2img.cli import console
from img2img.errors import ExitStatus
from img2img.runtime.files import jobs

if TYPE_CHECKING:
    from img2img.runtime.batch.run_job import Batch


def list_jobs(batch: Batch, *, json: bool) -> ExitStatus:
    """Print one line per job on stdout, the totals and the estimate on stderr. Runs only a short measurement.

    With `json`, stdout gets one object per job, and a last one with the status "summary", the totals and the estimate.
    """
    counts = {"to do": 0, "skipped": 0, "failed": 0}
    for job in batch.jobs:
        state = "failed" if job.problem is not None else "skipped" if job.skip is not None else "to do"
        counts[state] += 1
        if json:
            record = {
                "status": state,
                "input": "-" if job.source is None else str(job.source),
                "output": None if job.target is None else str(job.target),
                "reason": job.skip or (str(job.problem) if job.problem is not None else None),
            }
            console.write_json(record)
        else:
            sys.stdout.write(jobs.describe(job) + "\n")
    estimate = None
    if batch.to_do:
        from img2img.cli.forecast import forecast

        estimate = forecast(batch)
    if json:
        console.write_json({"status": "summary", **counts, "estimate": estimate})
    else:
        console.say(", ".join(f"{count} {state}" for state, count in counts.items() if count or state == "to do"))
        if estimate is not None:
            console.say(estimate)
    return ExitStatus.SOME_FAILED if counts["failed"] else ExitStatus.OK
