"""Shows the progress of a batch in one line on the terminal (stderr). Imports rich when the line is first drawn."""

from __future__ import annotations

import threading
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from img2img.cli import console
from img2img.runtime.files.jobs import Job
from img2img.text import count_of, show_duration
from img2img.threads import start

QUIET_START = 0.5  # seconds before the bar is drawn; shorter work needs none
MEASURED = 1.0  # seconds of work before the time left is estimated
LONG = 10.0  # seconds; the user is told if the work will take longer


class Bar:
    """Shows finished files, megapixels of output per second and the time left. Advances with each tile.

    It counts input pixels. The total comes from the headers of the files, which are read in the background. Until it is
    complete, a picture whose header has not been read counts as an average one.
    """

    def __init__(self, jobs: Sequence[Job], *, area: float, told: bool = False) -> None:
        """`area`: output pixels per input pixel; `told`: the user already knows how long the work takes."""
        self.jobs = {index: job for index, job in enumerate(jobs) if job.problem is None and job.skip is None}
        self.area = area
        self.sizes: dict[int, int] = {}  # index -> pixels, known from the header or from decoding
        self.done = 0  # pixels of the pictures that have ended
        self.files = 0
        self.current: dict[int, int] = {}  # index -> pixels done, of the pictures in work
        self.began: float | None = None
        self.told = told
        self.progress: Any = None
        self.lock = threading.RLock()
        self.closed = threading.Event()
        start(self._look_at_headers, name="headers", daemon=True)

    def begin(self, index: int, pixels: int) -> None:
        with self.lock:
            self.began = self.began or time.monotonic()
            self.sizes[index] = pixels
            self.current[index] = 0

    def advance(self, index: int, pixels: int) -> None:
        with self.lock:
            self.current[index] = min(self.current[index] + pixels, self.sizes[index])
            self._draw()

    def finish(self, index: int) -> None:
        with self.lock:
            self.files += 1
            self.sizes.setdefault(index, 0)  # it could not be decoded: its size is unknown
            if self.current.pop(index, None) is not None:
                self.done += self.sizes[index]
            self._draw()

    def say(self, text: str) -> None:
        with self.lock:
            if self.progress is None:
                console.say(text)
            else:
                self.progress.console.print(console.plain(text), highlight=False, soft_wrap=True)

    def close(self) -> None:
        self.closed.set()
        with self.lock:
            if self.progress is not None:
                self.progress.stop()
                self.progress = None

    def total(self) -> int:
        """Estimated input pixels of all files; 0 while no size is known."""
        known = len(self.sizes)
        return sum(self.sizes.values()) * len(self.jobs) // known if known else 0

    def seconds_left(self) -> float | None:
        done, elapsed = self._done(), time.monotonic() - (self.began or time.monotonic())
        if not done or elapsed < MEASURED:
            return None
        return max(self.total() - done, 0) * elapsed / done

    def _done(self) -> int:
        return self.done + sum(self.current.values())

    def _draw(self) -> None:
        elapsed = time.monotonic() - (self.began or time.monotonic())
        if self.closed.is_set() or elapsed < QUIET_START:
            return
        if self.progress is None:
            self._open()
        self._tell_beforehand(elapsed)
        done, left = self._done(), self.seconds_left()
        self.progress.update(
            self.task,
            total=max(self.total(), done, 1),
            completed=done,
            files=f"{self.files}/{len(self.jobs)} files",
            speed=f"{done * self.area / 1e6 / max(elapsed, 1e-9):.2f} MP/s out",
            left="" if left is None else f"{clock(left)} left",
        )

    def _open(self) -> None:
        from rich.console import Console
        from rich.progress import BarColumn, Progress, TextColumn

        columns = [TextColumn(f"{{task.fields[{name}]}}") for name in ("files", "speed", "left")]
        self.progress = Progress(
            columns[0], BarColumn(bar_width=28), *columns[1:], console=Console(stderr=True), transient=True
        )
        self.task = self.progress.add_task("", total=1, files="", speed="", left="")
        self.progress.start()

    def _tell_beforehand(self, elapsed: float) -> None:
        if self.told or (left := self.seconds_left()) is None:
            return
        self.told = True
        if elapsed + left > LONG:
            count = count_of(len(self.jobs), "picture")
            output = f"{self.total() * self.area / 1e6:.0f} megapixels of output"
            self.say(f"this will take about {show_duration(elapsed + left)}: {count}, {output}")

    def _look_at_headers(self) -> None:
        from img2img.runtime.image import sizes
        from img2img.runtime.image.pictures import DEFAULT_MAX_PIXELS

        for index, job in self.jobs.items():
            if self.closed.is_set():
                return
            if not isinstance(job.source, Path) or index in self.sizes:
                continue
            (size,) = sizes.of_files([job.source], DEFAULT_MAX_PIXELS)
            pixels = 0 if size is None else size[0] * size[1]
            with self.lock:
                self.sizes.setdefault(index, pixels)


def clock(seconds: float) -> str:
    """Format seconds as a clock: `0:45`, `12:03`, `2:10:00`."""
    whole = round(seconds)
    hours, minutes, rest = whole // 3600, whole // 60 % 60, whole % 60
    return f"{hours}:{minutes:02}:{rest:02}" if hours else f"{minutes}:{rest:02}"
