"""The page that compares runs."""

import time
from collections.abc import Mapping, Sequence
from datetime import datetime
from pathlib import Path

from img2img.evaluation.report import charts, parts
from img2img.evaluation.report.folder import Found
from img2img.evaluation.report.log import VALIDATION, Key
from img2img.evaluation.report.parts import number, text
from img2img.evaluation.report.run_page import CURVES, best_figure
from img2img.evaluation.report.settings import differing
from img2img.pages import page
from img2img.text import count_of
from img2img.version import __version__


def build(runs: Sequence[Found], failed: Sequence[str] = ()) -> str:
    """Return the HTML page that compares `runs`. `failed`: why others are not in it."""
    named = dict(zip(names([run.folder for run in runs]), runs, strict=True))
    headlines = list(dict.fromkeys(run.best.name for run in runs if run.best and run.best.name))
    made = charts.of_runs({name: run.log for name, run in named.items()}, headlines)
    notes = [*failed, *(f"{name}: {note}" for name, run in named.items() for note in run.notes)]
    body = (
        f"<header><h1>{count_of(len(runs), 'run')}</h1></header>\n<main>\n"
        f"{parts.section('Missing or damaged', parts.items(notes), name='notes')}"
        f"{parts.section('Best checkpoints', _best(named), name='best')}"
        f"{parts.section('Curves', CURVES if made.charts else '', name='curves')}"
        f"{parts.section('Settings that differ', _settings(named), name='settings')}"
        f"{parts.section('Validation at the best checkpoints', _figures(named), name='validation')}"
        f'</main>\n<footer class="quiet">img2img {page.escape(__version__)}, written on '
        f"{datetime.now().astimezone().strftime('%Y-%m-%d %H:%M:%S %Z')}</footer>"
    )
    data = {
        "charts": made.charts,
        "steps": made.steps,
        "warnings": [],
        "marks": [],
        "sheets": [],
        "written": time.time(),
        "reload": 0,
    }
    return page.build(
        f"Comparison of {count_of(len(runs), 'run')}",
        body,
        styles=["report.css"],
        scripts=["curves.js", "report.js"],
        data=data,
    )


def names(folders: Sequence[Path]) -> list[str]:
    """A short name for each folder: the last parts of its path, as many as it takes to tell them apart."""
    whole = [folder.resolve().parts for folder in folders]
    for count in range(1, max(map(len, whole), default=1) + 1):
        short = ["/".join(parts[-count:]) for parts in whole]
        if len(set(short)) == len(short):
            return short
    return [f"{number}: {'/'.join(parts[-1:])}" for number, parts in enumerate(whole, 1)]


def _best(runs: Mapping[str, Found]) -> str:
    rows = []
    for name, run in runs.items():
        best, speed = run.best, run.speed
        figure = best_figure(best) if best else "–"
        step = f"{run.log.step:,}" + (f" of {run.steps:,}" if run.steps else "")
        device = str(speed.sessions[-1].get("device_name", "–")) if speed.sessions else "–"
        rows.append(
            [
                text(name),
                text(run.method),
                f"{best.step:,}" if best else "–",
                figure,
                step,
                number(speed.rate),
                text(device),
                str(len(run.log.warnings)),
            ]
        )
    head = ["run", "method", "best step", "figure", "steps done", "steps/s", "trained on", "warnings"]
    return parts.table(head, rows, numbers=(2, 4, 5, 7))


def _settings(runs: Mapping[str, Found]) -> str:
    found = differing([run.settings for run in runs.values()])
    rows = [[f"<code>{text(key)}</code>", *map(text, values)] for key, values in found.items()]
    return parts.table(["setting", *runs], rows) or '<p class="quiet">none</p>'


def _figures(runs: Mapping[str, Found]) -> str:
    """Each validation figure at the best checkpoint of each run, or at the last validation if there is no best one."""
    keys = dict.fromkeys(name for run in runs.values() for name in run.log.validations())
    rows = []
    for key in keys:
        cells = []
        for run in runs.values():
            curve = run.log.curves.get(Key(VALIDATION, key))
            at = run.best.step if run.best else None
            value = None
            if curve:
                value = curve.values[-1] if at is None else curve.at(at)
            cells.append(number(value))
        rows.append([text(key), *cells])
    return parts.table(["figure", *runs], rows, numbers=range(1, len(runs) + 1))
