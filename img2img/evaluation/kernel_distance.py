"""KID: the kernel distance between two sets of feature vectors, from any network."""

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

Features = NDArray[np.floating]
"""`[N, D]`, one row per picture."""

SUBSETS = 100
SUBSET_SIZE = 1000


class Distance(NamedTuple):
    """A distance, and its standard error or its standard deviation over subsets."""

    value: float
    error: float


def kid(
    real: Features, made: Features, *, subsets: int = SUBSETS, subset_size: int = SUBSET_SIZE, seed: int = 0
) -> Distance:
    """Kernel distance as the literature reports it: mean and standard deviation of `squared_mmd` over random subsets.

    If a set has no more than `subset_size` pictures, the whole sets are compared, and the error is the standard error
    from the jackknife.

    The value is not multiplied by 100 or 1000, as some papers do. It is unbiased: sets from the same source give 0 on
    average, so it can be negative, and sets of different sizes can be compared.

    Args:
        real, made: at least three rows each, with equal lengths.
        subsets, subset_size: the defaults are those of Binkowski et al. 2018.

    Raises:
        ValueError: as `squared_mmd`.
    """
    if min(len(real), len(made)) <= subset_size:
        return squared_mmd(real, made)
    rng = np.random.default_rng(seed)
    values = []
    for _ in range(subsets):
        real_subset, made_subset = (one[rng.choice(len(one), subset_size, replace=False)] for one in (real, made))
        values.append(squared_mmd(real_subset, made_subset).value)
    return Distance(float(np.mean(values)), float(np.std(values)))


def squared_mmd(a: Features, b: Features) -> Distance:
    """Unbiased squared maximum mean discrepancy with the kernel (x . y / D + 1)^3, and its standard error.

    Binkowski et al. 2018, section 4. The error comes from the jackknife over the rows of both sets.

    Raises:
        ValueError: a set has fewer than three rows, or their lengths differ.
    """
    if min(len(a), len(b)) < 3 or a.shape[1:] != b.shape[1:]:
        raise ValueError(
            f"there is no kernel distance between sets of {len(a)} and {len(b)} feature vectors: give at least three"
            " of equal length"
        )
    within_a, within_b = (_kernel(one, one) for one in (a, b))
    np.fill_diagonal(within_a, 0)
    np.fill_diagonal(within_b, 0)
    between = _kernel(a, b)
    distance = within_a.sum() / _pairs(len(a)) + within_b.sum() / _pairs(len(b)) - 2 * between.mean()
    variance = _jackknife(within_a, between, within_b.sum()) + _jackknife(within_b, between.T, within_a.sum())
    return Distance(float(distance), float(np.sqrt(variance)))


def _kernel(a: Features, b: Features) -> NDArray[np.float64]:
    return np.asarray((a.astype(np.float64) @ b.astype(np.float64).T / a.shape[1] + 1) ** 3)


def _pairs(count: int) -> int:
    return count * (count - 1)


def _jackknife(within: NDArray[np.float64], between: NDArray[np.float64], other_sum: float) -> float:
    """Variance of the estimate when each row of one set is left out in turn.

    Args:
        within: kernel within this set.
        between: kernel between this set and the other.
        other_sum: sum of the kernel within the other set.
    """
    count, other_count = between.shape
    estimates = (within.sum() - 2 * within.sum(1)) / _pairs(count - 1) + other_sum / _pairs(other_count)
    estimates -= 2 * (between.sum() - between.sum(1)) / ((count - 1) * other_count)
    return float((count - 1) * estimates.var())
