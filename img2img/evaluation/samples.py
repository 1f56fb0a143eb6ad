"""Several results for one picture, from a model with a latent code."""

from collections.abc import Callable, Iterable, Mapping, Sequence
from itertools import combinations

import numpy as np

from img2img.evaluation.results import Figure, Picture, Ratio, value

Translate = Callable[[Picture, str], list[Picture]]
"""Translates a picture to a domain, "" if the model has only one. Returns one result, or one per latent code."""

BEST: dict[str, Callable[[Iterable[float]], float]] = {"l1": min, "chroma_l1": min, "psnr": max, "ssim": max}
"""The figures of which the best sample counts, and how it is found."""

MAX_SHOWN = 4
"""The most samples of one picture in a contact sheet."""


def figures(samples: Sequence[Picture], compare: Callable[[Picture], Mapping[str, Figure]]) -> dict[str, Figure]:
    """The figures of all samples of one picture.

    Args:
        samples: uint8 RGB of one size; at least one.
        compare: returns the figures of one sample.

    Returns:
        The figures of a single sample as they are. Of several samples, the mean of each figure, and

        l1_best, ssim_best, ...: the figure of the best sample (best of N), which may be another one for each figure.
        samples_apart: mean absolute difference between two samples, 0..1. 0 means that the code has no effect.
    """
    found = [compare(sample) for sample in samples]
    if len(found) == 1:
        return dict(found[0])
    means = {name: _mean([one[name] for one in found]) for name in found[0]}
    best = {f"{name}_best": pick(value(one[name]) for one in found) for name, pick in BEST.items() if name in means}
    return means | best | {"samples_apart": apart(samples)}


def apart(samples: Sequence[Picture]) -> float:
    """Mean absolute difference between two different samples, over all pairs of them, 0..1."""
    distances = [np.abs(a.astype(np.float32) - b).mean() for a, b in combinations(samples, 2)]
    return float(np.mean(distances)) / 255


def shown(results: Mapping[str, Sequence[Picture]]) -> dict[str, Picture]:
    """The pictures of a contact sheet: the first samples of each candidate."""
    found = {}
    for name, samples in results.items():
        for number, sample in enumerate(samples[:MAX_SHOWN], 1):
            found[name if number == 1 else f"{name} {number}"] = sample
    return found


def _mean(column: Sequence[Figure]) -> Figure:
    ratios = [one for one in column if isinstance(one, Ratio)]
    if ratios:  # stays a ratio, so that the mean over pictures is that of all samples
        return Ratio(sum(one.part for one in ratios), sum(one.whole for one in ratios))
    return float(np.mean([value(one) for one in column]))
