"""What an evaluation yields: figures of each case for each way of doing it, and pictures to show."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import NamedTuple, TypeVar

import numpy as np
from numpy.typing import NDArray

Picture = NDArray[np.uint8]
Item = TypeVar("Item")

MOST_PSNR = 100.0
"""dB that stand for a result without any error, so that a mean remains finite."""


MOST_SHARE = 100.0
"""Stands for something where the truth has nothing."""


class Share(NamedTuple):
    """A figure that is a part of a whole. Its mean is that of sums: a case with a tiny whole must not decide it."""

    part: float
    whole: float


Figure = float | Share


@dataclass(frozen=True)
class Case:
    """One picture, or whatever else is a line of the table.

    Attributes:
        name: what the case is.
        figures: way -> name of the figure -> figure. Ways are rivals in order, then the model.
        pictures: what a sheet shows, in order: uint8 RGB `[H, W, 3]`.
    """

    name: str
    figures: dict[str, dict[str, Figure]]
    pictures: dict[str, Picture] = field(default_factory=dict)


def value(figure: Figure) -> float:
    """The figure as a number; 1 where nothing is a share of nothing."""
    if not isinstance(figure, Share):
        return figure
    if not figure.whole:
        return MOST_SHARE if figure.part else 1.0
    return min(figure.part / figure.whole, MOST_SHARE)


def mean(figures: Iterable[Mapping[str, Figure]]) -> dict[str, float]:
    """The mean of each figure; shares are added up."""
    columns: dict[str, list[Figure]] = {}
    for one in figures:
        for name, figure in one.items():
            columns.setdefault(name, []).append(figure)
    return {name: _mean(column) for name, column in columns.items()}


def means(cases: Sequence[Case]) -> dict[str, dict[str, float]]:
    """`mean` over cases, for each way."""
    ways = dict.fromkeys(way for case in cases for way in case.figures)
    return {way: mean(case.figures[way] for case in cases if way in case.figures) for way in ways}


def spread(items: Sequence[Item], count: int | None) -> list[Item]:
    """At most `count` of the items, evenly spread: neighbours in a sorted folder are often alike."""
    if count is None or len(items) <= count:
        return list(items)
    return [items[place * len(items) // count] for place in range(count)]


def gradient(picture: Picture) -> float:
    """Mean absolute difference of neighbours, of the mean of the channels, across plus down."""
    grey = picture.astype(np.float64).mean(2)
    return sum(float(np.abs(np.diff(grey, axis=axis)).mean()) for axis in (0, 1))


def _mean(column: list[Figure]) -> float:
    shares = [figure for figure in column if isinstance(figure, Share)]
    if shares:
        return value(Share(sum(one.part for one in shares), sum(one.whole for one in shares)))
    return float(np.mean([value(figure) for figure in column]))
