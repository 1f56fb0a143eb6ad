"""Latent codes of models that take one: drawn from a seed, or given by the caller."""

import math
from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

from img2img.errors import UsageError
from img2img.runtime.network.card import Card
from img2img.types import Floats

MOST_SAMPLES = 1000


def check(samples: int | None, seed: int, truncation: float | None) -> None:
    """Raise UsageError unless the options for samples are valid and fit together."""
    if samples is None:
        if truncation is not None:
            raise UsageError("--truncation requires --samples N")
        if seed:
            raise UsageError("--seed requires --samples N")
        return
    if not 1 <= samples <= MOST_SAMPLES:
        raise UsageError(f"--samples {samples}: use a number from 1 to {MOST_SAMPLES}")
    if seed < 0:
        raise UsageError(f"--seed {seed}: use a whole number from 0 on")
    if truncation is not None and not 0 < truncation < math.inf:
        raise UsageError(f"--truncation {truncation:g}: use a number above 0, such as 2")


def draw(length: int, *, seed: int, number: int, truncation: float | None = None) -> Floats:
    """The latent code of sample `number`, float32 [1, length], from a standard normal distribution.

    It depends on nothing but the arguments. Every picture therefore gets the same codes, whatever else is in its batch
    and wherever it runs.

    Args:
        truncation: values whose absolute value is larger are drawn again until they are not. None: keep all.
    """
    random = np.random.default_rng([seed, number])
    values = random.standard_normal(length)
    if truncation is not None:
        from statistics import NormalDist  # imported late: it takes 10 ms

        normal = NormalDist()
        beyond = np.abs(values) > truncation
        # The distribution of values that are drawn again until they fit is that of the part of the normal distribution
        # between the limits. Its inverse takes one draw, however small `truncation` is.
        shares = random.uniform(normal.cdf(-truncation), normal.cdf(truncation), int(beyond.sum()))
        values[beyond] = [normal.inv_cdf(share) for share in shares]
        values = np.clip(values, -truncation, truncation)
    return values.astype(np.float32)[None]


def of_values(values: Sequence[float] | npt.NDArray[np.floating], card: Card) -> Floats:
    """The input `latent`, float32 [1, L], from a caller's values, [L] or [1, L].

    Raises:
        UsageError: the model takes no latent code, or the values do not fit it.
    """
    if card.latent is None:
        raise UsageError(f"{card.name} takes no latent code: omit latent")
    try:
        found = np.asarray(values, np.float32)
    except (TypeError, ValueError) as error:
        raise UsageError(f"latent must be a list of numbers: {error}") from error
    length = card.latent["length"]
    if found.shape not in ((length,), (1, length)):
        raise UsageError(f"{card.name} takes a latent code of {length} values, not an array of shape {found.shape}")
    if not np.isfinite(found).all():
        raise UsageError("latent has values that are not finite numbers")
    return found.reshape(1, length)
