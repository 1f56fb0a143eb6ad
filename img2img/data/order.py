"""The order of training items: a new permutation in each pass, as a pure function of (seed, index)."""

from functools import lru_cache

import numpy as np
from numpy.typing import NDArray

ENDLESS = 2**62
"""Length of every training data set. The loop requests as many items as its steps need."""


def shuffled_index(seed: int, index: int, count: int, *, stream: int = 1) -> int:
    """Return the index, 0..count - 1, of the picture for item `index`.

    Each pass of `count` items covers every picture once. Streams with different numbers are independent. Items of a
    stream draw their other random numbers from `generator(seed, index)`, which is stream 0.
    """
    epoch, place = divmod(index, count)
    return int(_permutation(seed, epoch, count, stream)[place])


def generator(seed: int, index: int) -> np.random.Generator:
    """Return the random generator of item `index`."""
    return np.random.default_rng((seed, index, 0))


@lru_cache(maxsize=32)  # one per domain if domains take turns
def _permutation(seed: int, epoch: int, count: int, stream: int) -> NDArray[np.int64]:
    return np.random.default_rng((seed, epoch, stream)).permutation(count)
