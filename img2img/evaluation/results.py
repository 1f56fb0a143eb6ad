"""The results of an evaluation: figures of each case for each candidate, and pictures to show."""

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import NamedTuple, TypeVar

import numpy as np
from numpy.typing import NDArray

Picture = NDArray[np.uint8]
Item = TypeVar("Item")

MAX_PSNR = 100.0
"""PSNR in dB of a result without any error, so that means stay finite."""


MAX_RATIO = 100.0
"""Largest value of a ratio, also used if only the whole is 0."""


class Ratio(NamedTuple):
    """A figure that is a part divided by a whole.

    The mean of ratios is the sum of the parts divided by the sum of the wholes, so that a case with a tiny whole does
    not dominate it.
    """

    part: float
    whole: float


Figure = float | Ratio

Distances = Callable[[Picture, Picture], dict[str, float]]
"""Further distances between a result and the truth, by the names of the figures. Lower is better."""


def no_distances(result: Picture, truth: Picture) -> dict[str, float]:
    """No further distances."""
    return {}


@dataclass(frozen=True)
class Case:
    """One row of the table of results, usually one picture.

    Attributes:
        name: name of the row.
        figures: candidate -> name of the figure -> figure. Candidates are the baselines in order, then the model.
        pictures: the pictures of a contact sheet in order, uint8 RGB `[H, W, 3]`.
    """

    name: str
    figures: dict[str, dict[str, Figure]]
    pictures: dict[str, Picture] = field(default_factory=dict)


def value(figure: Figure) -> float:
    """The figure as a number. A ratio of 0 to 0 is 1."""
    if not isinstance(figure, Ratio):
        return figure
    if not figure.whole:
        return MAX_RATIO if figure.part else 1.0
    return min(figure.part / figure.whole, MAX_RATIO)


def mean(figures: Iterable[Mapping[str, Figure]]) -> dict[str, float]:
    """The mean of each figure."""
    columns: dict[str, list[Figure]] = {}
    for row in figures:
        for name, figure in row.items():
            columns.setdefault(name, []).append(figure)
    return {name: _mean(column) for name, column in columns.items()}


def means(cases: Sequence[Case]) -> dict[str, dict[str, float]]:
    """The `mean` over the cases for each candidate. A candidate may be missing from some cases."""
    candidates = dict.fromkeys(name for case in cases for name in case.figures)
    return {name: mean(case.figures[name] for case in cases if name in case.figures) for name in candidates}


def spread(items: Sequence[Item], count: int | None) -> list[Item]:
    """At most `count` of the items, evenly spread, because neighbours in a sorted folder are often alike."""
    if count is None or len(items) <= count:
        return list(items)
    return [items[place * len(items) // count] for place in range(count)]


def gradient(picture: Picture) -> float:
    """Mean absolute difference between neighbours (channels averaged), horizontally plus vertically."""
    grey = picture.astype(np.float64).mean(2)
    return sum(float(np.abs(np.diff(grey, axis=axis)).mean()) for axis in (0, 1))


def _mean(column: list[Figure]) -> float:
    ratios = [figure for figure in column if isinstance(figure, Ratio)]
    if ratios:
        return value(Ratio(sum(one.part for one in ratios), sum(one.whole for one in ratios)))
    return float(np.mean([value(figure) for figure in column]))
