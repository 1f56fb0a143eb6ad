"""Kernel distance of two sets of feature vectors: what KID is, whatever the network that the features come from."""

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

Features = NDArray[np.floating]
"""`[N, D]`: a row for each picture."""

SUBSETS = 100
SIZE = 1000


class Distance(NamedTuple):
    """`value`, and how sure it is: `error`, a standard error, or between subsets their standard deviation."""

    value: float
    error: float


def kid(real: Features, made: Features, *, subsets: int = SUBSETS, size: int = SIZE, seed: int = 0) -> Distance:
    """Kernel distance as the literature reports it: the mean of `squared_mmd` over random subsets, and their standard
    deviation; of the whole sets, with a jackknife's standard error, where one has no more than `size` pictures.

    Not multiplied by 100 or 1000, as some papers do. It is unbiased, so sets from one source give 0 on average,
    sometimes less than 0, and sets of different sizes can be compared.

    Args:
        real, made: at least three rows each, of one length.
        subsets, size: as Binkowski et al. 2018 have them.

    Raises:
        ValueError: as `squared_mmd`.
    """
    if min(len(real), len(made)) <= size:
        return squared_mmd(real, made)
    rng = np.random.default_rng(seed)
    values = [
        squared_mmd(*(one[rng.choice(len(one), size, replace=False)] for one in (real, made))).value
        for _ in range(subsets)
    ]
    return Distance(float(np.mean(values)), float(np.std(values)))


def squared_mmd(a: Features, b: Features) -> Distance:
    """Unbiased squared maximum mean discrepancy with the kernel (x . y / D + 1)^3 (Binkowski et al. 2018, section 4),
    and its standard error by the jackknife over the rows of both sets.

    Raises:
        ValueError: a set has fewer than three rows, or their lengths differ.
    """
    if min(len(a), len(b)) < 3 or a.shape[1:] != b.shape[1:]:
        raise ValueError(f"sets of {len(a)} and {len(b)} feature vectors have no kernel distance: give three or more")
    within_a, within_b = (_kernel(one, one) for one in (a, b))
    np.fill_diagonal(within_a, 0)
    np.fill_diagonal(within_b, 0)
    between = _kernel(a, b)
    whole = within_a.sum() / _pairs(len(a)) + within_b.sum() / _pairs(len(b)) - 2 * between.mean()
    spread = _jackknife(within_a, between, within_b.sum()) + _jackknife(within_b, between.T, within_a.sum())
    return Distance(float(whole), float(np.sqrt(spread)))


def _kernel(a: Features, b: Features) -> NDArray[np.float64]:
    return np.asarray((a.astype(np.float64) @ b.astype(np.float64).T / a.shape[1] + 1) ** 3)


def _pairs(count: int) -> int:
    return count * (count - 1)


def _jackknife(within: NDArray[np.float64], between: NDArray[np.float64], other: float) -> float:
    """Variance of the estimate when rows of one set are left out in turn; `other` is the sum of the other's kernel."""
    count, others = between.shape
    without = (within.sum() - 2 * within.sum(1)) / _pairs(count - 1) + other / _pairs(others)
    without -= 2 * (between.sum() - between.sum(1)) / ((count - 1) * others)
    return float((count - 1) * without.var())
