"""Several runs of one recipe, measured by `img2img evaluate RUN RUN ...`."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from img2img.cli import console, figures
from img2img.errors import DataError, ExitStatus, UsageError
from img2img.text import count_of

if TYPE_CHECKING:
    from img2img.evaluation.runs import Spread


def report_validations(folders: Sequence[str], *, json: bool) -> ExitStatus:
    """Print the spread of the last validations of several runs.

    Raises:
        UsageError: there is only one run, or they are of different methods.
        DataError: no run has a validation.
    """
    from img2img.evaluation.runs import last_validation, method_of

    if len(folders) < 2:
        raise UsageError("--data FOLDER is missing: the pictures to measure with")
    found: dict[str, dict[str, float]] = {}
    failed: list[str] = []
    methods = {folder: method for folder in folders if (method := method_of(Path(folder)))}
    if len(set(methods.values())) > 1:
        shown = ", ".join(f"{folder} is {method}" for folder, method in methods.items())
        raise UsageError(f"the runs must be of one method, and {shown}")
    for folder in folders:
        try:
            found[folder] = last_validation(Path(folder))
        except DataError as error:
            failed.append(str(error))
    if not found:
        raise DataError(f"every run failed: {'; '.join(failed)}")
    report(found, failed, "last validations", json=json)
    return ExitStatus.SOME_FAILED if failed else ExitStatus.OK


def report(runs: Mapping[str, Mapping[str, float]], failed: Sequence[str], data: str, *, json: bool) -> None:
    """Print mean and standard deviation of each figure over the runs, and how many failed.

    Args:
        runs: name -> figures of each run that did not fail.
        failed: what is wrong with each run that failed.
        data: what was measured, in JSON.
    """
    from img2img.evaluation.runs import spreads

    for reason in failed:
        console.say(f"failed: {reason}")
    found = spreads(list(runs.values()))
    if json:
        means = {name: one.mean for name, one in found.items()}
        deviations = {name: one.deviation for name, one in found.items()}
        counts = {"runs": len(runs), "failed": len(failed)}
        console.write_json({"picture": "runs", "data": data, **counts, "mean": means, "deviation": deviations})
    else:
        title = f"mean of {count_of(len(runs), 'run')}, {len(failed)} failed"
        figures.table(title, ["mean", "deviation"], {name: _cells(name, one) for name, one in found.items()})


def _cells(name: str, spread: Spread) -> list[str]:
    return ["-" if value is None else figures.shown(name, value) for value in spread]
