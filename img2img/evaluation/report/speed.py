"""Reads speed.jsonl: on which machine a run trained, how fast, and how much of the time it waited for data.

The file is apart from log.jsonl because its figures differ each time, while the log of a repeated run is the same.
"""

import json
from contextlib import suppress
from pathlib import Path
from typing import Any

FILE = "speed.jsonl"


class Speed:
    """Time that the run in `folder` took. `update` reads what was added since. All is 0 if nothing is recorded.

    Attributes:
        sessions: the machine and the settings of each start of the run, plain values.
        steps, seconds, waiting: steps, the time that they took, and the part of it spent waiting for data. Without
            validations and checkpoints.
        gpu_bytes: peak GPU memory, 0 without a GPU.
    """

    def __init__(self, folder: Path) -> None:
        self.path = folder / FILE
        self.sessions: list[dict[str, Any]] = []
        self.steps = 0
        self.seconds = self.waiting = 0.0
        self.gpu_bytes = 0
        self._read = 0

    def update(self) -> None:
        """Read the lines that have been added. Skips damaged ones; a file that cannot be read has none."""
        with suppress(OSError), self.path.open("rb") as file:
            file.seek(self._read)
            lines = file.read().split(b"\n")[:-1]
            self._read += sum(len(line) + 1 for line in lines)
            for line in lines:
                with suppress(ValueError, KeyError, TypeError, OverflowError, RecursionError):
                    self._add(json.loads(line))

    @property
    def rate(self) -> float | None:
        """Steps per second; None if unknown."""
        return self.steps / self.seconds if self.steps and self.seconds > 0 else None

    @property
    def waiting_share(self) -> float | None:
        """The share of the time that was spent waiting for data, 0 to 1; None if unknown."""
        return min(self.waiting / self.seconds, 1.0) if self.seconds > 0 else None

    def _add(self, entry: dict[str, Any]) -> None:
        if isinstance(entry.get("session"), dict):
            self.sessions.append(entry["session"])
            return
        steps, seconds, waiting = int(entry["steps"]), float(entry["seconds"]), float(entry["waiting"])
        self.steps += steps
        self.seconds += seconds
        self.waiting += waiting
        self.gpu_bytes = max(self.gpu_bytes, int(entry.get("gpu_bytes", 0)))
