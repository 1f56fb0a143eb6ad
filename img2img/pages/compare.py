"""The page of `img2img compare`: results side by side, with figures and the places where they differ."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, NamedTuple

from img2img.atomic import atomic
from img2img.pages import page
from img2img.pages.embedded import Store
from img2img.pages.page import escape
from img2img.text import count_of


class Figure(NamedTuple):
    """How a figure is shown."""

    key: str
    label: str
    digits: int
    lower: bool = False
    about: str = ""


FIGURES = (
    Figure("psnr_y", "PSNR-Y (dB)", 2, about="peak signal-to-noise ratio of the luma; higher is better"),
    Figure("ssim_y", "SSIM", 4, about="structural similarity of the luma; 1 is equal"),
    Figure("l1", "L1", 4, lower=True, about="mean absolute difference of RGB, 0 to 1; lower is better"),
    Figure("niqe", "NIQE", 2, lower=True, about="naturalness without a truth; lower is better"),
)


@dataclass(frozen=True)
class ShownSide:
    """A column of the comparison: a side, the truth or the input.

    Attributes:
        parameters, seconds: of a model; seconds for one megapixel of input.
        means: figure -> mean over the pictures that have it.
        best: figure -> number of pictures in which it is the best.
        pictures: number of pictures that it has.
        is_side: False for truth and input.
    """

    name: str
    pictures: int = 0
    parameters: int | None = None
    seconds: float | None = None
    means: Mapping[str, float] = field(default_factory=dict)
    best: Mapping[str, int] = field(default_factory=dict)
    is_side: bool = True


@dataclass(frozen=True)
class ShownCase:
    """One picture.

    Attributes:
        size: width and height of the results.
        pictures: name of a side -> number of its picture in the store.
        figures: name of a side -> figure -> value.
        crops: left, top, width and height of the areas where the sides differ most.
        difference: how much they differ, 0..1.
        problems: name of a side -> why it has no picture.
    """

    name: str
    size: tuple[int, int]
    thumbnail: str
    pictures: Mapping[str, int]
    figures: Mapping[str, Mapping[str, float]]
    crops: Sequence[tuple[int, int, int, int]] = ()
    difference: float = 0.0
    problems: Mapping[str, str] = field(default_factory=dict)


def write(
    file: Path,
    sides: Sequence[ShownSide],
    cases: Sequence[ShownCase],
    store: Store,
    *,
    about: str = "",
    problems: Sequence[str] = (),
) -> None:
    """Write the page. The keys 1 to 9 choose among `sides` in their order.

    Args:
        about: one line, such as the command.
        problems: what could not be shown, one line each.

    Raises:
        PictureError: the file cannot be written.
    """
    figures = [one for one in FIGURES if any(one.key in side.means for side in sides)]
    title = f"Comparison of {count_of(len(cases), 'picture')}"
    html = page.build(
        title,
        _body(title, sides, cases, figures, about, problems),
        styles=("stage.css", "compare.css"),
        scripts=("payload.js", "stage.js", "compare.js"),
        data=_data(sides, cases, figures),
    )
    with atomic(file) as stream:
        store.write(html, page.END, stream)


def _data(sides: Sequence[ShownSide], cases: Sequence[ShownCase], figures: Sequence[Figure]) -> dict[str, Any]:
    """What `compare.js` needs. Sides are numbers there."""
    number = {side.name: index for index, side in enumerate(sides)}
    own = [index for index, side in enumerate(sides) if side.is_side]
    left, right = (own[0], own[1]) if len(own) > 1 else (len(sides) - 1, 0)
    return {
        "sides": [{"name": side.name} for side in sides],
        "left": left,
        "right": right,
        "figures": [{"key": one.key, "digits": one.digits, "lower": one.lower} for one in figures],
        "cases": [
            {
                "name": case.name,
                "size": case.size,
                "pictures": {number[name]: one for name, one in case.pictures.items()},
                "figures": {number[name]: one for name, one in case.figures.items()},
                "crops": case.crops,
                "difference": case.difference,
                "problems": {number[name]: text for name, text in case.problems.items() if name in number},
            }
            for case in cases
        ],
    }


def _body(
    title: str,
    sides: Sequence[ShownSide],
    cases: Sequence[ShownCase],
    figures: Sequence[Figure],
    about: str,
    problems: Sequence[str],
) -> str:
    options = "".join(
        f'<option value="{index}">{index + 1} {escape(side.name)}</option>' for index, side in enumerate(sides)
    )
    return f"""<header>
<h1>{escape(title)}</h1>
<p class="quiet">{escape(about)}</p>
</header>
<main>
{_problems(problems)}
<div class="columns">
<section class="panel" aria-label="Viewer">
<div class="row bar">
<span class="group"><button type="button" id="previous" aria-label="Previous picture">←</button>
<button type="button" id="next" aria-label="Next picture">→</button></span>
<span class="place" aria-live="polite"><strong id="name"></strong><span class="quiet" id="place"></span></span>
<label>Left <select id="left-side">{options}</select></label>
<label>Right <select id="right-side">{options}</select></label>
<span class="group" role="group" aria-label="View">
<button type="button" data-view="slider">Slider</button>
<button type="button" data-view="grid">All</button>
<button type="button" data-view="difference">Difference</button></span>
<span class="group" role="group" aria-label="Zoom">
<button type="button" id="smaller" aria-label="Zoom out">−</button>
<button type="button" id="whole" title="Show the whole picture"><span id="level"></span></button>
<button type="button" id="larger" aria-label="Zoom in">+</button></span>
</div>
<div id="stage" class="stage">
<div id="pair" class="pane">
<div class="layer" id="left"></div>
<div class="layer" id="right"></div>
<div class="layer" id="difference" hidden></div>
<span class="tag left" id="left-tag"></span><span class="tag right" id="right-tag"></span>
<div id="divider" aria-hidden="true"></div>
</div>
<div id="grid" hidden></div>
</div>
<div class="row" id="slider-row"><label for="slider">Slider</label>
<input type="range" id="slider" min="0" max="100" step="0.5" value="50"></div>
<div class="row" id="difference-row" hidden>
<label>Gain <select id="gain"><option value="1">1</option><option value="4" selected>4</option>
<option value="16">16</option></select></label>
<span>equal</span><span class="legend" aria-hidden="true"></span><span>different</span>
<span class="quiet" id="difference-mean"></span></div>
<p class="help">Keys: <kbd>←</kbd> <kbd>→</kbd> picture, <kbd>Shift</kbd>+<kbd>←</kbd> <kbd>→</kbd> slider,
<kbd>1</kbd>–<kbd>9</kbd> right side, <kbd>Shift</kbd>+<kbd>1</kbd>–<kbd>9</kbd> left side, <kbd>z</kbd> zoom,
<kbd>0</kbd> whole picture, <kbd>d</kbd> difference, <kbd>g</kbd> all sides. The wheel zooms, dragging moves.</p>
<p class="bad" id="message" role="status"></p>
<div class="scroll" tabindex="0" role="region" aria-label="Figures of this picture">
<table id="figures-table"><thead><tr><th scope="col">This picture</th>{_heads(figures)}</tr></thead>
<tbody id="figures"></tbody></table></div>
<div id="crops-section"><h2>Largest differences in this picture</h2><div class="crops" id="crops"></div></div>
</section>
<nav aria-label="Pictures">
<label class="row">Order <select id="sort"><option value="name">as given</option>
<option value="difference">largest difference first</option></select></label>
<div class="list" id="list">
{"".join(_list_entry(index, case, figures) for index, case in enumerate(cases))}
</div>
</nav>
</div>
<h2>Summary</h2>
{_summary(sides, figures)}
{_all_figures(sides, cases, figures)}
</main>"""


def _problems(problems: Sequence[str]) -> str:
    if not problems:
        return ""
    lines = "".join(f"<li>{escape(one)}</li>" for one in problems)
    title = f'<summary class="bad">{count_of(len(problems), "problem")}</summary>'
    return f'<details class="panel">{title}<ul>{lines}</ul></details>'


def _list_entry(index: int, case: ShownCase, figures: Sequence[Figure]) -> str:
    facts = f"difference {case.difference:.3f}"
    if case.problems:
        facts += f", {count_of(len(case.problems), 'problem')}"
    return (
        f'<button type="button" data-case="{index}"><img src="{case.thumbnail}" alt="" loading="lazy" decoding="async">'
        f'<span><span class="name">{escape(case.name)}</span><span class="quiet">{facts}</span></span></button>'
    )


def _heads(figures: Sequence[Figure]) -> str:
    return "".join(
        f'<th scope="col" class="number" title="{escape(one.about)}">{escape(one.label)}</th>' for one in figures
    )


def _summary(sides: Sequence[ShownSide], figures: Sequence[Figure]) -> str:
    shown = [side for side in sides if side.is_side]
    rows = []
    for side in shown:
        cells = [_mean(side, figure, shown) for figure in figures]
        best = f'<td class="number">{side.best.get(figures[0].key, 0)}</td>' if figures else ""
        seconds = "–" if side.seconds is None else f"{side.seconds:.3g}"
        parameters = "–" if side.parameters is None else f"{side.parameters:,}"
        rows.append(
            f'<tr><th scope="row">{escape(side.name)}</th>{"".join(cells)}{best}'
            f'<td class="number">{seconds}</td><td class="number">{parameters}</td>'
            f'<td class="number">{side.pictures}</td></tr>'
        )
    best_head = f'<th scope="col" class="number">Best {escape(figures[0].label.split()[0])}</th>' if figures else ""
    return (
        '<div class="scroll" tabindex="0" role="region" aria-label="Summary"><table id="summary">'
        f'<thead><tr><th scope="col">Side</th>{_heads(figures)}{best_head}'
        '<th scope="col" class="number">Seconds per input megapixel</th><th scope="col" class="number">Parameters</th>'
        f'<th scope="col" class="number">Pictures</th></tr></thead><tbody>{"".join(rows)}</tbody></table></div>'
    )


def _mean(side: ShownSide, figure: Figure, sides: Sequence[ShownSide]) -> str:
    if figure.key not in side.means:
        return '<td class="number">–</td>'
    all_means = [other.means[figure.key] for other in sides if figure.key in other.means]
    best = min(all_means) if figure.lower else max(all_means)
    is_best = len(all_means) > 1 and side.means[figure.key] == best
    return f'<td class="number{" best" if is_best else ""}">{side.means[figure.key]:.{figure.digits}f}</td>'


def _all_figures(sides: Sequence[ShownSide], cases: Sequence[ShownCase], figures: Sequence[Figure]) -> str:
    """A table of the figures of all pictures, closed at first."""
    if not figures:
        return ""
    shown = [side for side in sides if side.is_side]
    groups = "".join(f'<th scope="colgroup" colspan="{len(figures)}">{escape(side.name)}</th>' for side in shown)
    rows = []
    for index, case in enumerate(cases):
        cells = "".join(
            f'<td class="number">{case.figures[side.name][one.key]:.{one.digits}f}</td>'
            if one.key in case.figures.get(side.name, {})
            else '<td class="number">–</td>'
            for side in shown
            for one in figures
        )
        name = f'<button type="button" class="link" data-case="{index}">{escape(case.name)}</button>'
        rows.append(f"<tr><td>{name}</td>{cells}</tr>")
    return (
        "<details><summary>Figures of all pictures</summary>"
        '<div class="scroll" tabindex="0" role="region" aria-label="Figures of all pictures"><table>'
        f'<thead><tr><th scope="col" rowspan="2">Picture</th>{groups}</tr>'
        f"<tr>{_heads(figures) * len(shown)}</tr></thead><tbody>{''.join(rows)}</tbody></table></div></details>"
    )
