"""The page about one run."""

import shlex
import time
from collections.abc import Iterator
from datetime import datetime
from typing import Any

from img2img.evaluation.report import charts, parts
from img2img.evaluation.report.folder import Best, Found
from img2img.evaluation.report.log import VALIDATION
from img2img.evaluation.report.parts import number, text
from img2img.pages import page
from img2img.runtime.network.usage import usage
from img2img.text import count_of, show_duration
from img2img.version import __version__

RELOAD = 30
"""Seconds after which the page of a running training loads itself again."""

MUCH_WAITING = 0.1
"""From this share of the time on, waiting for data is worth a remark."""

_CARD = ("name", "task", "method", "scale", "context", "domains", "precision", "parameters", "licence", "trained_on")


def build(run: Found, *, running: bool, reload: float = RELOAD) -> str:
    """Return the HTML page about `run`.

    Args:
        running: whether the run is going on. The page then loads itself again every `reload` seconds.
    """
    name = run.folder.resolve().name
    headline = run.best.name if run.best else None
    made = charts.of_run(run.log, headline)
    body = (
        f"<header><h1>{text(name)}</h1>{_state(run, running)}{_overview(run)}</header>\n"
        "<main>\n"
        f"{_warnings(run)}{_notes(run)}{_samples(run)}{_curves(bool(made.charts))}{_validation(run)}{_use(run)}"
        f"{_data(run)}{_settings(run)}{_machine(run)}{_cards(run)}"
        f'</main>\n<footer class="quiet">img2img {page.escape(__version__)}, written on {_now()}</footer>'
    )
    marks = [{"step": run.best.step, "text": f"best checkpoint: step {run.best.step}"}] if run.best else []
    data: dict[str, Any] = {
        "charts": made.charts,
        "steps": made.steps,
        "warnings": [{"step": step, "text": words} for step, words in run.log.warnings],
        "marks": marks,
        "sheets": [sheet._asdict() for sheet in run.sheets],
        "written": time.time(),
        "reload": reload if running else 0,
    }
    return page.build(
        f"{name}: {run.method}", body, styles=["report.css"], scripts=["curves.js", "report.js"], data=data
    )


def _now() -> str:
    return datetime.now().astimezone().strftime("%Y-%m-%d %H:%M:%S %Z")


def _state(run: Found, running: bool) -> str:
    steps, step = run.steps, run.log.step
    of = f" of {steps:,}" if steps else ""
    if running:
        words = f"running, step {step:,}{of}"
    elif steps and step >= steps:
        words = f"finished, {count_of(steps, 'step')}"
    else:
        words = f"stopped at step {step:,}{of}; run the same command to continue" if step else "no step yet"
    reload = (
        '<label><input type="checkbox" id="reload" checked> Load again every <span id="seconds"></span> s</label>'
        if running
        else ""
    )
    return (
        f'<p class="row" id="state"><strong class="{"good" if running else ""}">{words}</strong>'
        f'<span class="quiet">written <time id="written">{_now()}</time></span>{reload}</p>'
    )


def _overview(run: Found) -> str:
    best, speed = run.best, run.speed
    return parts.facts(
        (
            ("method", text(run.method)),
            (
                "best checkpoint",
                f"step {best.step:,}: {text(best.name or 'figure')} {number(best.figure)}" if best else "",
            ),
            ("speed", f"{speed.rate:.3g} steps/s" if speed.rate else ""),
            ("waiting for data", _share(speed.waiting_share)),
            ("trained on", text(_device(run))),
            ("time in steps", show_duration(speed.seconds) if speed.seconds else ""),
        )
    )


def best_figure(best: Best) -> str:
    """The figure of the best checkpoint, as HTML."""
    return f"{text(best.name or 'figure')} {number(best.figure)}"


def _share(share: float | None) -> str:
    return "" if share is None else f"{100 * share:.0f} %" if share >= 0.01 or not share else "less than 1 %"


def _device(run: Found) -> str:
    return str(run.speed.sessions[-1].get("device_name", "")) if run.speed.sessions else ""


def _warnings(run: Found) -> str:
    rows = [[f"{step:,}", text(words.removeprefix("warning: "))] for step, words in run.log.warnings[-50:]]
    more = len(run.log.warnings) - len(rows)
    note = f'<p class="quiet">and {count_of(more, "earlier warning")}</p>' if more > 0 else ""
    return (
        parts.section("Warnings", parts.table(["step", "warning"], rows, wide=1) + note, name="warnings")
        if rows
        else ""
    )


def _notes(run: Found) -> str:
    return parts.section("Missing or damaged", parts.items(run.notes), name="notes")


def _samples(run: Found) -> str:
    if not run.sheets:
        lost = bool(run.log.validations())
        why = "the contact sheets are gone" if lost else "no contact sheet yet: the first validation writes one"
        return parts.section("Samples", f'<p class="quiet">{why}</p>', name="samples")
    last = len(run.sheets) - 1
    controls = (
        '<div class="row"><button type="button" id="before" aria-label="Earlier sheet">◀</button>'
        f'<input type="range" id="sheet" min="0" max="{last}" value="{last}" aria-label="Step of the contact sheet">'
        '<button type="button" id="after" aria-label="Later sheet">▶</button>'
        '<button type="button" id="play" aria-pressed="false">Play</button>'
        '<output id="sheet-step" for="sheet"></output></div>'
    )
    picture = (
        '<div class="scroll view" tabindex="0" role="region" aria-label="Contact sheet">'
        '<img id="sheet-picture" alt=""></div>'
    )
    return parts.section("Samples", controls + picture, name="samples")


def _curves(any_curve: bool) -> str:
    inside = '<p class="quiet">no figures yet</p>'
    if any_curve:
        inside = CURVES
    return parts.section("Curves", inside, name="curves")


CURVES = (
    '<div class="row" id="chart-controls">'
    '<label><input type="checkbox" id="log"> Log scale</label>'
    '<label>Smoothing <input type="range" id="smooth" min="0" max="0.99" step="0.01" value="0"></label>'
    '<output id="smooth-value" for="smooth">0</output>'
    '<button type="button" id="whole" disabled>Show all steps</button></div>'
    '<p class="quiet">Point at a curve for its values, or press the arrow keys on a chart. Drag across a chart to '
    "enlarge that part. The names below a chart switch its curves on and off.</p>"
    '<div class="charts" id="charts"></div>'
)
"""Where the script of the page draws the charts."""


def _validation(run: Found) -> str:
    """The last validation as a table, beside that of the best checkpoint."""
    curves = {key.name: curve for key, curve in run.log.curves.items() if key.kind == VALIDATION}
    rows = []
    for name, curve in curves.items():
        cells = [text(name), number(curve.values[-1])]
        if run.best:
            cells.append(
                number(next((v for s, v in zip(curve.steps, curve.values, strict=True) if s == run.best.step), None))
            )
        rows.append(cells)
    steps = max((curve.steps[-1] for curve in curves.values()), default=0)
    head = ["figure", f"last (step {steps:,})", *([f"best checkpoint (step {run.best.step:,})"] if run.best else [])]
    return parts.section("Validation figures", parts.table(head, rows, numbers=(1, 2)), name="validation")


def _use(run: Found) -> str:
    export = f"img2img export {shlex.quote(str(run.folder))}"
    before = after = ""
    lines = [usage(path, card) for path, card in run.models.items() if not path.stem.endswith(".reference")]
    if not lines:
        if not run.best:
            return ""
        before, lines = "<p>There is no model yet. This writes that of the best checkpoint:</p>", [export]
    elif run.best and run.best.step != run.log.step:
        after = (
            f"<p>This is the model of the last step. The best checkpoint is of step {run.best.step:,}: "
            f"<code>{text(export)}</code> writes its model.</p>"
        )
    commands = "\n".join(map(text, lines))
    return parts.section("Use the model", f'{before}<pre tabindex="0">{commands}</pre>{after}', name="use")


def _data(run: Found) -> str:
    rows = []
    for place, (count, total) in run.pictures.items():
        key, _, which = place.partition("/")
        found = run.settings.get("data", *key.split("."))
        folders = found if isinstance(found, list) else [found]
        folder = folders[int(which)] if which.isdigit() and int(which) < len(folders) else ""
        rows.append([text(f"data.{key}"), text(folder or ""), f"{count:,}", parts.size(total)])
    inside = parts.table(["setting", "folder or table", "files", "size"], rows, numbers=(2, 3))
    notes = run.seen_notes.get("notes")
    inside += parts.items(map(str, notes)) if isinstance(notes, list) else ""
    if run.seen:
        inside += (
            "<h3>What the method sees</h3>"
            '<p class="quiet">Training pictures after resizing, cropping and augmentation, odd ones first.</p>'
            f"{parts.odd_ones(run.seen_notes.get('items'))}{parts.picture(run.seen, 'What the method sees')}"
        )
    return parts.section("Data", inside, name="data-summary")


def _settings(run: Found) -> str:
    if run.settings.schema is None:
        return ""
    rows = [
        [f"<code>{text(key)}</code>", text(value), text(default), text(meaning)]
        for key, value, default, meaning in run.settings.differences()
        if key != "method"
    ]
    inside = parts.table(["setting", "this run", "recipe", "meaning"], rows, wide=3)
    return parts.section("Settings that differ from the recipe", inside or '<p class="quiet">none</p>', name="settings")


def _machine(run: Found) -> str:
    speed = run.speed
    if not speed.sessions and not speed.seconds:
        words = "This run has no speed.jsonl: an older version of img2img wrote it, or it has just started."
        return parts.section("Machine and speed", f'<p class="quiet">{words}</p>', name="machine")
    advice = ""
    if (speed.waiting_share or 0) > MUCH_WAITING:
        advice = (
            '<p class="warning">The run waits for its data. More <code>workers</code>, or a larger '
            "<code>data.cache_mb</code> if not all pictures fit into memory, may make it faster.</p>"
        )
    rates = parts.facts(
        (
            ("speed", f"{speed.rate:.3g} steps/s" if speed.rate else ""),
            ("time in steps", show_duration(speed.seconds) if speed.seconds else ""),
            ("of it waiting for data", _share(speed.waiting_share)),
            ("peak memory of the GPU", parts.size(speed.gpu_bytes) if speed.gpu_bytes else ""),
        )
    )
    rows = list(_session_rows(speed.sessions))
    head = ["", *(f"start {number}" for number in range(max(len(speed.sessions) - 5, 0) + 1, len(speed.sessions) + 1))]
    return parts.section("Machine and speed", rates + advice + parts.table(head, rows), name="machine")


def _session_rows(sessions: list[dict[str, Any]]) -> Iterator[list[str]]:
    last = sessions[-5:]
    for key in dict.fromkeys(key for session in last for key in session):
        yield [text(key.replace("_", " ")), *(text(session.get(key, "–")) for session in last)]


def _cards(run: Found) -> str:
    inside = ""
    for path, card in run.models.items():
        values: list[tuple[str, str]] = []
        for key in _CARD:
            value = getattr(card, key)
            shown = ", ".join(value) if isinstance(value, tuple) else f"{value:,}" if key == "parameters" else value
            values.append((key.replace("_", " "), "" if value is None else text(shown)))
        measured = [
            f"{data}: {', '.join(f'{k} {_plain(v)}' for k, v in row.items())}" for data, row in card.metrics.items()
        ]
        inside += f"<h3>{text(path.name)}</h3>{parts.facts(values)}{parts.items(measured)}"
    return parts.section("Card of the model" if len(run.models) == 1 else "Cards of the models", inside, name="card")


def _plain(value: float | str) -> str:
    return value if isinstance(value, str) else number(value)
