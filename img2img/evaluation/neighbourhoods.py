"""How well a set of pictures covers a set of real ones: precision, recall, density and coverage.

A distance such as KID mixes two faults, poor pictures and missing ones. These figures tell them apart: a model that has
collapsed to a few good pictures has a high precision and a low recall and coverage.
"""

import numpy as np
from numpy.typing import NDArray

from img2img.evaluation.kernel_distance import Features

PRECISION_NEIGHBOURS = 3
"""k of precision and recall, as in Kynkäänniemi et al. 2019."""
COVERAGE_NEIGHBOURS = 5
"""k of density and coverage, as in Naeem et al. 2020."""

Distances = NDArray[np.float64]


def figures(real: Features, made: Features) -> dict[str, float]:
    """Compare two sets of feature vectors `[N, D]`. Higher is better.

    The neighbourhood of a picture is a ball around its features that reaches to its k-th nearest neighbour in the same
    set.

    Returns:
        precision: share of the made pictures that lie in the neighbourhood of a real one (Kynkäänniemi et al. 2019,
            equation 2, k = 3).
        recall: share of the real pictures that lie in the neighbourhood of a made one.
        density: mean number of real neighbourhoods that a made picture lies in, divided by k (Naeem et al. 2020,
            equation 3, k = 5). May be above 1. A single real outlier raises it less than it raises the precision.
        coverage: share of the real pictures with a made one in their neighbourhood (equation 4). It is below 1 even for
            other real pictures if there are few of them.

        Figures whose k is not below the size of the sets are omitted.

    Raises:
        ValueError: a set is empty, or the lengths of the vectors differ.
    """
    if not len(real) or not len(made) or real.shape[1:] != made.shape[1:]:
        raise ValueError(f"cannot compare sets of feature vectors of shapes {real.shape} and {made.shape}")
    between = _distances(real, made)
    within_real, within_made = _distances(real, real), _distances(made, made)
    found: dict[str, float] = {}
    if min(len(real), len(made)) > PRECISION_NEIGHBOURS:
        around_real, around_made = (_reach(one, PRECISION_NEIGHBOURS) for one in (within_real, within_made))
        found["precision"] = float((between <= around_real[:, None]).any(0).mean())
        found["recall"] = float((between <= around_made[None, :]).any(1).mean())
    if len(real) > COVERAGE_NEIGHBOURS:
        inside = between <= _reach(within_real, COVERAGE_NEIGHBOURS)[:, None]
        found["density"] = float(inside.sum(0).mean() / COVERAGE_NEIGHBOURS)
        found["coverage"] = float(inside.any(1).mean())
    return found


def _distances(a: Features, b: Features) -> Distances:
    """Squared Euclidean distances, `[len(a), len(b)]`."""
    a, b = a.astype(np.float64), b.astype(np.float64)
    squared = (a**2).sum(1)[:, None] + (b**2).sum(1)[None, :] - 2 * a @ b.T
    return np.asarray(np.maximum(squared, 0))


def _reach(within: Distances, k: int) -> Distances:
    """The squared distance of each picture to its k-th nearest neighbour, itself not counted.

    Args:
        within: squared distances between the pictures of one set. The diagonal is ignored.
    """
    others = within.copy()
    np.fill_diagonal(others, np.inf)
    return np.asarray(np.partition(others, k - 1, axis=1)[:, k - 1])
