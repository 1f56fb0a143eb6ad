"""Reads log.jsonl: the curves of a run and its warnings."""

import json
import math
from array import array
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, NamedTuple

TRAINING, VALIDATION = "training", "validation"


class Key(NamedTuple):
    """A figure of the log: `kind` is TRAINING or VALIDATION."""

    kind: str
    name: str


@dataclass
class Curve:
    """The values of one figure. They may be NaN or infinite."""

    steps: "array[int]" = field(default_factory=lambda: array("q"))
    values: "array[float]" = field(default_factory=lambda: array("d"))

    def add(self, step: int, value: float) -> None:
        self.steps.append(step)
        self.values.append(value)

    def at(self, step: int) -> float | None:
        """The value at `step`; None if there is none."""
        return next((value for one, value in zip(self.steps, self.values, strict=True) if one == step), None)


class Warned(NamedTuple):
    """A warning of the run, and the step at which it came."""

    step: int
    text: str


class Log:
    """The log of a run. `update` reads what was added since, so that a long log costs nothing at each validation.

    Attributes:
        curves: the figures, in the order in which they first appear.
        warnings: in order.
        step: the last step that the log knows; 0 if it is empty.
        damaged: number of lines that are not what a run writes.
        unfinished: whether the last line is incomplete: a run is writing it, or was killed.
        missing: whether there is no such file.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self._forget()

    def _forget(self) -> None:
        self.curves: dict[Key, Curve] = {}
        self.warnings: list[Warned] = []
        self.step = 0
        self.damaged = 0
        self.unfinished = False
        self.missing = False
        self._read = 0
        self._file: tuple[int, int] | None = None

    def update(self) -> None:
        """Read the lines that have been added, or the whole file if it is not the same as before.

        Raises:
            OSError: the file exists and cannot be read.
        """
        try:
            status = self.path.stat()
        except FileNotFoundError:
            self._forget()
            self.missing = True
            return
        # A run that returns to a checkpoint replaces the file by a shorter one.
        if self._file != (status.st_dev, status.st_ino) or status.st_size < self._read:
            self._forget()
            self._file = (status.st_dev, status.st_ino)
        with self.path.open("rb") as file:
            file.seek(self._read)
            lines = file.read().split(b"\n")
        self.unfinished = bool(lines[-1].strip())
        self._read += sum(len(line) + 1 for line in lines[:-1])
        for line in lines[:-1]:
            if line.strip():
                self._add(line)

    def not_finite(self) -> dict[Key, int]:
        """How many values of each figure are NaN or infinite, for those that have any."""
        counts = {key: sum(not math.isfinite(value) for value in curve.values) for key, curve in self.curves.items()}
        return {key: count for key, count in counts.items() if count}

    def last(self, key: Key) -> float | None:
        """The last value of a figure; None if there is no such figure."""
        curve = self.curves.get(key)
        return curve.values[-1] if curve and curve.values else None

    def validations(self) -> list[str]:
        """Names of the validation figures."""
        return [key.name for key in self.curves if key.kind == VALIDATION]

    def _add(self, line: bytes) -> None:
        try:
            entry: Any = json.loads(line.decode("utf-8", errors="replace"))
            step = int(entry["step"])
        except (ValueError, KeyError, TypeError, OverflowError, RecursionError):
            self.damaged += 1
            return
        self.step = max(self.step, step)
        if isinstance(entry.get("warning"), str):
            self.warnings.append(Warned(step, entry["warning"]))
        figures = entry.get("validation")
        kind = VALIDATION if isinstance(figures, dict) else TRAINING
        for name, value in (figures if isinstance(figures, dict) else entry).items():
            if name != "step" and isinstance(value, int | float) and not isinstance(value, bool):
                self.curves.setdefault(Key(kind, name), Curve()).add(step, _float(value))


def _float(value: float) -> float:
    try:
        return float(value)
    except OverflowError:
        return math.inf
