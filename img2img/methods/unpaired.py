"""Translates held-out pictures without pairs and measures the results."""

from collections.abc import Sequence

import torch
from torch import nn

from img2img.evaluation.sliced_wasserstein import sliced_wasserstein
from img2img.methods.figures import Picture, distances, diversity, to_pictures, to_signed


@torch.no_grad()
def translate(generator: nn.Module, sources: Sequence[Picture]) -> list[Picture]:
    """Return the generator's result for each picture, uint8 RGB `[H, W, 3]`."""
    device = next(generator.parameters()).device
    results: list[Picture] = []
    for source in sources:
        results += to_pictures(generator(to_signed(torch.from_numpy(source).permute(2, 0, 1)[None].to(device))))
    return results


def measure(
    results: Sequence[Picture],
    sources: Sequence[Picture],
    targets: Sequence[Picture],
    truth: Sequence[tuple[int, int]],
    suffix: str = "",
) -> dict[str, float]:
    """Measure the translation of `sources` into the domain of `targets`.

    Args:
        truth: pairs of indices into `sources` and `targets` that show the same thing.
        suffix: appended to the names of the figures.

    Returns:
        `swd`, the sliced Wasserstein distance between results and targets, and `diversity` (`figures.diversity`); with
        `truth` also `l1` and `ssim` to what the results should be. Names ending in `_input` measure the sources
        themselves.
    """
    found = {
        f"swd{suffix}": sliced_wasserstein(results, targets),
        f"swd{suffix}_input": sliced_wasserstein(sources, targets),
        f"diversity{suffix}": diversity(results, targets),
    }
    if truth:
        truths = [targets[t] for _, t in truth]
        ours = distances([results[s] for s, _ in truth], truths)
        copied = distances([sources[s] for s, _ in truth], truths)
        found |= {f"l1{suffix}": ours["l1"], f"l1{suffix}_input": copied["l1"], f"ssim{suffix}": ours["ssim"]}
    return found
