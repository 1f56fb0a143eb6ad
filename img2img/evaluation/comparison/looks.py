"""What is kept of a case when its pictures are freed: figures, and encoded or reduced pictures."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np

from img2img.evaluation.comparison import baselines
from img2img.evaluation.comparison.baselines import COPY
from img2img.evaluation.comparison.case import Case
from img2img.evaluation.comparison.crops import Differences, differences
from img2img.evaluation.comparison.measuring import Truth, measure_alone
from img2img.evaluation.comparison.rgb import Pixels, Seen
from img2img.evaluation.comparison.sides import INPUT, TRUTH
from img2img.pages import embedded
from img2img.runtime.image.resize import lanczos

CELL = 256
"""Longest side in pixels of a reduced picture in a contact sheet."""
CROP = 384
"""Longest side in pixels of a detail in a contact sheet."""
GREY = 128
"""Value of a missing picture in a contact sheet."""


@dataclass(frozen=True)
class Look:
    """One case, measured.

    Attributes:
        figures: name of a side that has a result -> figure -> value.
        notes: why figures are missing.
        encoded: name of a side, the truth or the input -> the picture as `embedded.encode` makes it.
        cells: the pictures of a row of a contact sheet, all of one size.
        problems: name of a side -> why it has no picture.
    """

    size: tuple[int, int]
    figures: dict[str, dict[str, float]]
    notes: tuple[str, ...]
    differences: Differences
    thumbnail: str = ""
    encoded: dict[str, str] = field(default_factory=dict)
    cells: dict[str, Pixels] = field(default_factory=dict)
    problems: dict[str, str] = field(default_factory=dict)


def figures_only(case: Case, *, border: int = 0) -> Look:
    """Measure a case: against the truth, or without any. If its truth is missing, nothing is measured.

    `border`: see `Truth`.
    """
    figures: dict[str, dict[str, float]] = {}
    notes: list[str] = []
    truth = None if case.truth is None else Truth(case.truth.pixels, border)
    for name, result in case.results.items():
        if TRUTH in case.problems:
            figures[name] = {}  # NIQE would be a mean over this case alone, beside figures of all others
            continue
        found = measure_alone(result.pixels) if truth is None else truth.measure(result.pixels)
        figures[name] = found.figures
        notes += found.notes
    return Look(case.size, figures, tuple(dict.fromkeys(notes)), _differences(case), problems=case.problems)


def for_page(case: Case, *, border: int = 0, quality: int = embedded.QUALITY) -> Look:
    """Measure a case, and encode its pictures for a page. `quality`: of JPEG."""
    look = figures_only(case, border=border)
    shown = _shown(case)
    if COPY in shown:  # the page enlarges the input in the same way
        shown[COPY] = case.input
    encoded = {name: embedded.encode(one.pixels, one.icc, quality) for name, one in shown.items()}
    thumbnail = embedded.thumbnail(next(iter(case.results.values()), case.input).pixels)
    return Look(look.size, look.figures, look.notes, look.differences, thumbnail, encoded, problems=case.problems)


def for_sheet(case: Case, names: Sequence[str], *, border: int = 0, details: bool = False) -> Look:
    """Measure a case, and make a row of a contact sheet.

    Args:
        names: the columns.
        details: show the area where the sides differ most, pixel by pixel; otherwise the whole picture, reduced.
    """
    look = figures_only(case, border=border)
    width, height = case.size
    shown = {name: one.pixels for name, one in _shown(case).items()}
    shown[INPUT] = baselines.copy(case.input.pixels, case.size)
    grey = np.broadcast_to(np.uint8(GREY), (height, width, 3))
    cells = {}
    for name in names:
        pixels = shown.get(name, grey)
        cells[name] = np.array(_detail(pixels, look.differences) if details else _reduced(pixels))
    return Look(look.size, look.figures, look.notes, look.differences, cells=cells, problems=case.problems)


def _shown(case: Case) -> dict[str, Seen]:
    return {**case.results, **({} if case.truth is None else {TRUTH: case.truth}), INPUT: case.input}


def _differences(case: Case) -> Differences:
    """Between the sides. A side alone is compared with the truth, or with the input."""
    found = [one.pixels for one in case.results.values()]
    if len(found) == 1:
        found.append(baselines.copy(case.input.pixels, case.size) if case.truth is None else case.truth.pixels)
    return differences(found)


def _detail(pixels: Pixels, found: Differences) -> Pixels:
    """An area of at most `CROP` pixels around the largest difference."""
    height, width = pixels.shape[:2]
    left, top, wide, high = found.crops[0] if found.crops else (0, 0, width, height)
    left = min(max(left + wide // 2 - CROP // 2, 0), max(width - CROP, 0))
    top = min(max(top + high // 2 - CROP // 2, 0), max(height - CROP, 0))
    return pixels[top : top + CROP, left : left + CROP]


def _reduced(pixels: Pixels) -> Pixels:
    height, width = pixels.shape[:2]
    factor = min(CELL / max(height, width), 1)
    size = max(round(width * factor), 1), max(round(height * factor), 1)
    return np.asarray(lanczos(np.ascontiguousarray(pixels), size), np.uint8)
