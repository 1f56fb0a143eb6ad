"""Which curves share a chart, and the data of the charts for the script of the page (`pages/assets/curves.js`)."""

from collections.abc import Mapping, Sequence
from typing import Any

from img2img.evaluation.report.log import TRAINING, Key, Log
from img2img.evaluation.report.thin import thin

GROUPS = (("accuracy_", "Accuracy of the discriminator"), ("gradient/", "Norms of gradients"))
"""Training figures with these beginnings have their own chart."""


class Charts:
    """The data of charts. Equal lists of steps are stored once."""

    def __init__(self) -> None:
        self.charts: list[dict[str, Any]] = []
        self.steps: list[list[int]] = []
        self._places: dict[tuple[int, ...], int] = {}

    def add(self, title: str, curves: Sequence[tuple[str, str, Log, Key]]) -> None:
        """Add a chart of `curves`: the name, the key that switches it on and off, and where it comes from."""
        self.charts.append({"title": title, "series": [self._series(*curve) for curve in curves]})

    def _series(self, name: str, switch: str, log: Log, key: Key) -> dict[str, Any]:
        curve = log.curves[key]
        made = thin(curve.steps, curve.values)
        steps = tuple(made.steps)
        if steps not in self._places:
            self._places[steps] = len(self.steps)
            self.steps.append(made.steps)
        series: dict[str, Any] = {"name": name, "switch": switch, "steps": self._places[steps], "mean": made.mean}
        if made.low:
            series |= {"low": made.low, "high": made.high}
        return series


def of_run(log: Log, headline: str | None) -> Charts:
    """The charts of one run. Training losses share one, and each validation figure has its own, `headline` first."""
    charts = Charts()
    for title, keys in _training_groups(log).items():
        charts.add(title, [(key.name, f"{title}/{key.name}", log, key) for key in keys])
    validation = [key for key in log.curves if key.kind != TRAINING]
    for key in sorted(validation, key=lambda key: key.name != headline):  # a stable sort
        if len(log.curves[key].steps) < 2:  # one point is no curve; the table of the last validation has it
            continue
        charts.add(f"Validation: {key.name}", [(key.name, f"Validation/{key.name}", log, key)])
    return charts


def of_runs(logs: Mapping[str, Log], headlines: Sequence[str]) -> Charts:
    """A chart for each figure, with a curve for each run that has it. Validation comes first, `headlines` at its top.

    Args:
        logs: name of the run -> log.
    """
    charts = Charts()
    keys = dict.fromkeys(key for log in logs.values() for key in log.curves)
    for key in sorted(keys, key=lambda key: (key.kind == TRAINING, key.name not in headlines)):
        curves = [(name, name, log, key) for name, log in logs.items() if key in log.curves]
        if any(len(log.curves[key].steps) > 1 for _, _, log, _ in curves):
            charts.add(f"{key.kind.capitalize()}: {key.name}", curves)
    return charts


def _training_groups(log: Log) -> dict[str, list[Key]]:
    groups: dict[str, list[Key]] = {}
    for key in log.curves:
        if key.kind == TRAINING:
            title = next((title for start, title in GROUPS if key.name.startswith(start)), "Losses")
            groups.setdefault("Learning rate" if key.name == "rate" else title, []).append(key)
    order = ["Losses", *(title for _, title in GROUPS), "Learning rate"]
    return {title: groups[title] for title in order if title in groups}
