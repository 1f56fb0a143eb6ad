"""Thins a long curve, so that a page stays small and every spike stays visible."""

import math
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

POINTS = 600
"""Points of a curve at most: about one for each two pixels of a chart."""

DIGITS = 5
"""Significant digits of the values."""


class Thinned(NamedTuple):
    """A curve of at most `POINTS` points. A value is None if no finite one lies there.

    Attributes:
        steps: the last step of each bucket.
        mean, low, high: mean, minimum and maximum of the finite values in each bucket. `low` and `high` are empty if
            each bucket has one value.
    """

    steps: list[int]
    mean: list[float | None]
    low: list[float | None]
    high: list[float | None]


def thin(steps: Sequence[int], values: Sequence[float], most: int = POINTS) -> Thinned:
    """Split a curve into at most `most` buckets of about equal size."""
    at, numbers = np.asarray(steps, np.int64), np.asarray(values, np.float64)
    if not len(at):
        return Thinned([], [], [], [])
    if (np.diff(at) < 0).any():
        order = np.argsort(at, kind="stable")
        at, numbers = at[order], numbers[order]
    if len(at) <= most:
        return Thinned(at.tolist(), _rounded(numbers), [], [])
    edges = np.linspace(0, len(at), most + 1).astype(np.int64)
    finite = np.isfinite(numbers)
    counts = np.add.reduceat(finite, edges[:-1], dtype=np.int64)
    with np.errstate(over="ignore", divide="ignore", invalid="ignore"):
        mean = np.add.reduceat(np.where(finite, numbers, 0), edges[:-1]) / counts
    low = np.minimum.reduceat(np.where(finite, numbers, np.inf), edges[:-1])
    high = np.maximum.reduceat(np.where(finite, numbers, -np.inf), edges[:-1])
    return Thinned(at[edges[1:] - 1].tolist(), _rounded(mean), _rounded(low), _rounded(high))


def _rounded(values: NDArray[np.float64]) -> list[float | None]:
    return [float(f"{value:.{DIGITS}g}") if math.isfinite(value) else None for value in values.tolist()]
