"""Several runs of one recipe: how much their figures vary, and which runs failed."""

import json
import math
import statistics
import tomllib
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import NamedTuple

from img2img.errors import DataError


class Spread(NamedTuple):
    """A figure over several runs.

    Attributes:
        mean: the mean over the runs that have the figure.
        deviation: the sample standard deviation, with n - 1 in the denominator; None for a single run.
    """

    mean: float
    deviation: float | None


def spreads(runs: Sequence[Mapping[str, float]]) -> dict[str, Spread]:
    """The spread of each figure that at least one of the runs has."""
    found = {}
    for name in dict.fromkeys(name for run in runs for name in run):
        values = [run[name] for run in runs if name in run]
        found[name] = Spread(statistics.fmean(values), statistics.stdev(values) if len(values) > 1 else None)
    return found


def method_of(run: Path) -> str | None:
    """The method of the run in folder `run`; None if its settings cannot be read."""
    try:
        method = tomllib.loads((run / "config.toml").read_text(encoding="utf-8")).get("method")
    except (OSError, UnicodeDecodeError, tomllib.TOMLDecodeError):
        return None
    return method if isinstance(method, str) else None


def last_validation(run: Path) -> dict[str, float]:
    """The figures of the last validation of the run in folder `run`, from its log.jsonl.

    Raises:
        DataError: there is no log, or it has no validation, or a figure is not a finite number.
    """
    try:
        lines = (run / "log.jsonl").read_text(encoding="utf-8", errors="replace").splitlines()
    except OSError as error:
        raise DataError(f"{run}: no log.jsonl, so this is not the folder of a run", path=run) from error
    for line in reversed(lines):
        try:
            entry = json.loads(line)
        except ValueError:  # the last line of a killed run may be incomplete
            continue
        if isinstance(entry, dict) and isinstance(entry.get("validation"), dict):
            figures = {name: float(value) for name, value in entry["validation"].items()}
            if broken := [name for name, value in figures.items() if not math.isfinite(value)]:
                raise DataError(f"{run}: {broken[0]} of its last validation is {figures[broken[0]]}", path=run)
            return figures
    raise DataError(f"{run}: no validation in its log.jsonl", path=run)
