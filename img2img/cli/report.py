"""Reports the events of a batch: messages on stderr, JSON lines on stdout, and the exit status."""

from __future__ import annotations

import json
import sys
import time
from collections.abc import Iterable
from typing import Any

from img2img.cli import console
from img2img.cli.progress import Display
from img2img.errors import ExitStatus
from img2img.runtime.batch.event import Event
from img2img.text import show, show_duration


class Report:
    """Reports the events of a batch and determines the exit status.

    With `as_json`, stdout gets one object per file (keys: status, input, output, size, result_size, seconds, hash,
    warnings, error) and a final one with the status "summary". File names keep their bytes: bytes that are not UTF-8
    become lone surrogates, which Python's os.fsencode converts back.

    Errors are always printed. Skipped files are printed unless `quiet` is set. Notes and finished files are printed on
    a terminal only.
    """

    def __init__(
        self, display: Display, *, as_json: bool = False, quiet: bool = False, fail_fast: bool = False
    ) -> None:
        self.display = display
        self.fail_fast = fail_fast
        self.as_json = as_json
        self.quiet = quiet or as_json
        self.talkative = console.is_terminal() and not self.quiet
        self.counts = {"done": 0, "skipped": 0, "failed": 0}
        self.none_started = True  # every job so far failed before it started
        self.megapixels = 0.0
        self.last: dict[str, Event] = {}  # by status
        self.began = time.perf_counter()

    def take_all(self, events: Iterable[Event]) -> ExitStatus:
        """Report every event and the summary. Returns the exit status: 2 if no job could even start."""
        try:
            for event in events:
                self._take(event)
        finally:
            self.display.close()
        if self.counts["failed"]:
            status = ExitStatus.USAGE if self.none_started else ExitStatus.SOME_FAILED
        else:
            status = ExitStatus.OK
        self._sum_up(status)
        return status

    def _take(self, event: Event) -> None:
        if event.data is not None:
            sys.stdout.buffer.write(event.data)
            sys.stdout.buffer.flush()
        self.counts[event.status] += 1
        self.last[event.status] = event
        if event.job.problem is None:
            self.none_started = False
            if event.status != "skipped":
                self.display.finish(event.index)
        if event.status == "done" and event.result_size is not None:
            self.megapixels += event.result_size[0] * event.result_size[1] / 1e6
        if self.as_json:
            _write(_record(event))
        if event.status == "failed":
            console.error(event.message, event.error, say=self.display.say)
        elif self.talkative:
            for note in event.notes:
                self.display.say(f"{event.job.label}: {note}")

    def _sum_up(self, status: ExitStatus) -> None:
        seconds = time.perf_counter() - self.began
        if self.as_json:
            _write({"status": "summary", **self.counts, "seconds": round(seconds, 3), "exit_status": int(status)})
        if self.counts["failed"] and self.fail_fast and not self.quiet:
            console.say("stopped at the first failure (--fail-fast); run the command again to continue")
        if self.counts["skipped"] and not self.quiet:
            console.say(self._skipped())
        if self.counts["done"] and self.talkative:
            console.say(self._done(seconds))

    def _skipped(self) -> str:
        count, event = self.counts["skipped"], self.last["skipped"]
        if count == 1:
            return f"skipped {event.job.label}: {event.message} (--existing overwrite replaces outputs)"
        return f"skipped {count} files, the last because {event.message} (--existing overwrite replaces outputs)"

    def _done(self, seconds: float) -> str:
        count, event = self.counts["done"], self.last["done"]
        if count == 1 and event.result_size is not None:
            target = "stdout" if event.job.target is None else show(event.job.target)
            width, height = event.result_size
            return f"{event.job.label} -> {target}  {width}x{height}  {show_duration(event.seconds)}"
        failed = f", {self.counts['failed']} failed" if self.counts["failed"] else ""
        speed = self.megapixels / max(seconds, 1e-9)
        return f"{count} pictures, {self.megapixels:.1f} MP in {show_duration(seconds)} ({speed:.2f} MP/s){failed}"


def _record(event: Event) -> dict[str, Any]:
    job = event.job
    return {
        "status": event.status,
        "input": "-" if job.source is None else str(job.source),
        "output": str(job.target) if job.target is not None else None,
        "size": event.size,
        "result_size": event.result_size,
        "seconds": round(event.seconds, 3),
        "hash": None if event.digest is None else f"sha256:{event.digest}",
        "warnings": [*event.notes, *([event.message] if event.status == "skipped" else [])],
        "error": event.message if event.status == "failed" else None,
    }


def _write(record: dict[str, Any]) -> None:
    sys.stdout.write(json.dumps(record) + "\n")  # ASCII only, so that it works in every locale
    sys.stdout.flush()
