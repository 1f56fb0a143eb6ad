"""Reports the events of a batch: messages for people go to stderr, lines for programs to stdout."""

from __future__ import annotations

import shlex
import sys
import time
from collections.abc import Iterable
from typing import TYPE_CHECKING, Any, Protocol

from img2img.cli import console
from img2img.errors import ExitStatus
from img2img.text import count_of, show, show_duration

if TYPE_CHECKING:
    from img2img.runtime.batch.event import Event


class Told:
    """Prints the notes about the whole batch, for example on the model, unless `quiet`, and keeps them for --json.

    With `once`, a note that comes again is left out.
    """

    def __init__(self, *, quiet: bool = False, once: bool = False) -> None:
        self.quiet = quiet
        self.once = once
        self.notes: list[str] = []

    def add(self, note: str) -> None:
        if self.once and note in self.notes:
            return
        self.notes.append(note)
        if not self.quiet:
            console.say(note)


class Display(Protocol):
    """Shows the progress of a batch. Worker threads call `begin` and `advance`; `index` is a job's place in the batch.

    Several pictures may be in work at once.
    """

    def begin(self, index: int, pixels: int) -> None: ...
    def advance(self, index: int, pixels: int) -> None: ...
    def finish(self, index: int) -> None: ...
    def say(self, text: str) -> None: ...
    def close(self) -> None: ...


class NoProgress:
    """Shows no progress: stderr is a file or a pipe, or --quiet or --json was given."""

    def begin(self, index: int, pixels: int) -> None:
        pass

    def advance(self, index: int, pixels: int) -> None:
        pass

    def finish(self, index: int) -> None:
        pass

    def say(self, text: str) -> None:
        console.say(text)

    def close(self) -> None:
        pass


class Report:
    """Reports the events of a batch and determines the exit status.

    With `as_json`, stdout gets one object per file (keys: status, input, output, domain, size, result_size, seconds,
    hash, warnings, error, jpeg_quality, suggestion) and a final one with the status "summary", the number of all
    `warnings`, and the `notes` about the whole batch. `domain` tells several results of one picture apart: a target
    domain, or the number of a sample. File names keep their bytes: bytes that are not UTF-8 become lone surrogates,
    which Python's os.fsencode converts back.

    Errors are always printed on stderr, and notes unless `quiet` is set. Skipped files, and the summary if
    there are notes or stderr is a terminal, are printed unless `quiet` is set or stdout has them as JSON. With `each`,
    every result has its line.
    """

    def __init__(
        self,
        display: Display,
        told: Told,
        *,
        as_json: bool = False,
        quiet: bool = False,
        fail_fast: bool = False,
        each: bool = False,
    ) -> None:
        self.display = display
        self.told = told
        self.fail_fast = fail_fast
        self.as_json = as_json
        self.quiet = quiet
        self.each = each and not (quiet or as_json)
        self.summed_up = not (quiet or as_json)
        self.notes = 0
        self.counts = {"done": 0, "skipped": 0, "failed": 0}
        self.none_started = True  # every job so far failed before it started
        self.megapixels = 0.0
        self.last: dict[str, Event] = {}  # by status
        self.compressed: list[int] = []  # qualities of the photos that another model suits better
        self.last_compressed: Event | None = None
        self.began = time.perf_counter()

    def take_all(self, events: Iterable[Event]) -> ExitStatus:
        """Report every event and the summary. Returns the exit status: 2 if no job could even start."""
        try:
            self.take(events)
        finally:
            self.display.close()
        return self.end()

    def take(self, events: Iterable[Event]) -> None:
        """Report every event."""
        for event in events:
            self._take(event)

    def end(self) -> ExitStatus:
        """Report the summary. Returns the exit status, as `take_all`."""
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
        if event.suggestion is not None and event.jpeg_quality is not None:
            self.last_compressed = event
            self.compressed.append(event.jpeg_quality)
        if self.as_json:
            console.write_json(_record(event))
        if self.each and event.status == "done":
            self.display.say(self._one_done(event))
        if event.status == "failed":
            console.error(event.message, event.error, say=self.display.say)
        self.notes += len(event.notes)
        if not self.quiet:
            for note in event.notes:
                self.display.say(f"{event.job.label}: {note}")

    def _sum_up(self, status: ExitStatus) -> None:
        seconds = time.perf_counter() - self.began
        if self.last_compressed is not None:
            self.told.add(self._suggestion(self.last_compressed))
        if self.as_json:
            about = {"warnings": self.notes + len(self.told.notes), "notes": self.told.notes}
            known = {**self.counts, "seconds": round(seconds, 3), "exit_status": int(status)}
            console.write_json({"status": "summary", **known, **about})
        if not self.summed_up:
            return
        if self.counts["failed"] and self.fail_fast:
            console.say("stopped at the first failure (--fail-fast); run the command again to continue")
        if self.counts["skipped"]:
            console.say(self._skipped())
        # Where nobody watches, a batch without notes and errors says nothing.
        if self.counts["done"] and (self._noted() or console.is_terminal()):
            console.say(self._done(seconds))

    def _suggestion(self, last: Event) -> str:
        """One line about all compressed photos."""
        count, done = len(self.compressed), self.counts["done"]
        low, high = min(self.compressed), max(self.compressed)
        quality = f"quality ~{low}" if low == high else f"quality ~{low} to {high}"
        which = last.job.label if done == 1 else f"{count} of {done} photos"
        be, them = ("is", "it") if count == 1 else ("are", "them")
        return f"{which} {be} compressed ({quality}): -m {shlex.quote(last.suggestion or '')} also cleans {them}"

    def _skipped(self) -> str:
        count, event = self.counts["skipped"], self.last["skipped"]
        if count == 1:
            return f"skipped {event.job.label}: {event.message} (--existing overwrite replaces outputs)"
        return f"skipped {count} files, the last because {event.message} (--existing overwrite replaces outputs)"

    def _done(self, seconds: float) -> str:
        count, event = self.counts["done"], self.last["done"]
        if count == 1 and event.result_size is not None and not self.each:
            return f"{self._one_done(event)}{self._noted()}"
        failed = f", {self.counts['failed']} failed" if self.counts["failed"] else ""
        speed = self.megapixels / max(seconds, 1e-9)
        pictures = f"{count_of(count, 'picture')}, {self.megapixels:.1f} MP in {show_duration(seconds)}"
        return f"{pictures} ({speed:.2f} MP/s){failed}{self._noted()}"

    def _one_done(self, event: Event) -> str:
        target = "stdout" if event.job.target is None else show(event.job.target)
        size = "" if event.result_size is None else "  {}x{}".format(*event.result_size)
        return f"{event.job.label} -> {target}{size}  {show_duration(event.seconds)}"

    def _noted(self) -> str:
        count = self.notes + len(self.told.notes)
        return f", {count_of(count, 'note')}" if count else ""


def _record(event: Event) -> dict[str, Any]:
    job = event.job
    return {
        "status": event.status,
        "input": "-" if job.source is None else str(job.source),
        "output": str(job.target) if job.target is not None else None,
        "domain": job.domain or None,
        "size": event.size,
        "result_size": event.result_size,
        "seconds": round(event.seconds, 3),
        "hash": None if event.digest is None else f"sha256:{event.digest}",
        "warnings": [*event.notes, *([event.message] if event.status == "skipped" else [])],
        "error": event.message if event.status == "failed" else None,
        "jpeg_quality": event.jpeg_quality,
        "suggestion": event.suggestion,
    }
