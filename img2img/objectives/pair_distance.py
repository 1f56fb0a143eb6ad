"""DistanceGAN's loss: two pictures that differ much should still differ much after the translation."""

from dataclasses import dataclass
from itertools import combinations

import torch
from torch import Tensor


def pairs(pictures: Tensor) -> Tensor:
    """Mean absolute difference of each pair of pictures of a batch `[N, C, H, W]`: `[N (N - 1) / 2]`."""
    return torch.stack([(pictures[i] - pictures[k]).abs().mean() for i, k in combinations(range(len(pictures)), 2)])


def halves(pictures: Tensor) -> Tensor:
    """Mean absolute difference between the top and the bottom half of each picture `[N, C, H, W]`: `[N]`."""
    half = pictures.shape[2] // 2
    return (pictures[:, :, :half] - pictures[:, :, -half:]).abs().flatten(1).mean(1)


@dataclass(frozen=True)
class Scale:
    """Mean and standard deviation of the distances in a domain."""

    mean: float
    deviation: float

    @classmethod
    def of_pairs(cls, pictures: Tensor) -> "Scale":
        """The scale of `pairs` over all pairs of `pictures`, `[N, C, H, W]`, N at least 3."""
        flat = pictures.flatten(1)
        distances = torch.cdist(flat, flat, p=1) / flat.shape[1]
        rows, columns = torch.triu_indices(len(flat), len(flat), 1)
        return cls._of(distances[rows, columns])

    @classmethod
    def of_halves(cls, pictures: Tensor) -> "Scale":
        """The scale of `halves` over `pictures`, `[N, C, H, W]`, N at least 2."""
        return cls._of(halves(pictures))

    @classmethod
    def _of(cls, distances: Tensor) -> "Scale":
        return cls(float(distances.mean()), max(float(distances.std()), 1e-6))

    def normalise(self, distances: Tensor) -> Tensor:
        return (distances - self.mean) / self.deviation


def distance_loss(source: Tensor, result: Tensor, source_scale: Scale, target_scale: Scale) -> Tensor:
    """Mean absolute difference between the normalised distances of the sources and those of their results.

    Benaim and Wolf 2017, "One-Sided Unsupervised Domain Mapping", equations 3 and 4.

    Args:
        source, result: distances by `pairs` or `halves`, of the same shape.
    """
    return (source_scale.normalise(source) - target_scale.normalise(result)).abs().mean()
