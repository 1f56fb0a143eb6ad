"""Which item comes when: passes over a data set in a new order each, as a pure function of (seed, index)."""

from functools import lru_cache

import numpy as np
from numpy.typing import NDArray

ENDLESS = 2**62
"""What a training data set gives as its length: the loop asks for as many items as its steps need."""


def shuffled(seed: int, index: int, count: int, *, stream: int = 1) -> int:
    """The place 0..count - 1 of item `index`; each pass of `count` items meets every place once.

    Streams with different numbers are independent of each other. Items of one stream draw whatever else they need
    from `generator(seed, index)`, which is stream 0.
    """
    epoch, place = divmod(index, count)
    return int(_permutation(seed, epoch, count, stream)[place])


def generator(seed: int, index: int) -> np.random.Generator:
    """The random numbers of item `index`."""
    return np.random.default_rng((seed, index, 0))


@lru_cache(maxsize=32)  # of each domain one, where domains take turns
def _permutation(seed: int, epoch: int, count: int, stream: int) -> NDArray[np.int64]:
    return np.random.default_rng((seed, epoch, stream)).permutation(count)
