"""Several results for one picture, from a model with a latent code."""

from collections.abc import Callable, Iterable, Mapping, Sequence
from itertools import combinations, pairwise

import numpy as np

from img2img.evaluation.results import Distances, Figure, Picture, Ratio, mean, no_distances, value

Translate = Callable[[Picture, str], list[Picture]]
"""Translates a picture to a domain, "" if the model has only one. Returns one result, or one per latent code."""

BEST: dict[str, Callable[[Iterable[float]], float]] = {
    **dict.fromkeys(("l1", "chroma_l1", "lpips", "dists"), min),
    **dict.fromkeys(("psnr", "ssim"), max),
}
"""For these figures, the best sample of a picture is also reported: the name of a figure, and min or max."""

MAX_SHOWN = 4
"""The most samples of one picture in a contact sheet."""


def figures(
    samples: Sequence[Picture],
    compare: Callable[[Picture], Mapping[str, Figure]],
    distances: Distances = no_distances,
) -> dict[str, Figure]:
    """The figures of all samples of one picture.

    Args:
        samples: uint8 RGB of one size; at least one.
        compare: returns the figures of one sample.
        distances: measure how far samples are apart, besides the absolute difference.

    Returns:
        The figures of a single sample as they are. Of several samples, the mean of each figure, and

        l1_best, ssim_best, ...: the figure of the best sample (best of N), which may be another one for each figure.
        samples_apart: mean absolute difference between two samples, 0..1. 0 means that the code has no effect.
        lpips_apart, ...: the mean of each of `distances` between a sample and the next one.
    """
    found = [compare(sample) for sample in samples]
    if len(found) == 1:
        return dict(found[0])
    means = {name: _mean([one[name] for one in found]) for name in found[0]}
    best = {f"{name}_best": pick(value(one[name]) for one in found) for name, pick in BEST.items() if name in means}
    further = mean(distances(*both) for both in pairwise(samples))
    return means | best | {"samples_apart": apart(samples)} | {f"{name}_apart": one for name, one in further.items()}


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
