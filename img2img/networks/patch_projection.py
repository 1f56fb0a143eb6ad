"""The projection head of CUT: from the generator's features at random places to vectors that can be compared."""

from collections.abc import Sequence

import torch
from torch import Tensor, nn
from torch.nn import functional as F


class PatchProjection(nn.Module):
    """One two-layer perceptron per feature map (H in Park et al. 2020, section 3.1).

    Args:
        channels: channels of each feature map.
        features: length of the vectors.
    """

    def __init__(self, channels: Sequence[int], features: int = 256) -> None:
        super().__init__()
        self.perceptrons = nn.ModuleList(
            nn.Sequential(nn.Linear(width, features), nn.ReLU(), nn.Linear(features, features)) for width in channels
        )

    def forward(self, maps: Sequence[Tensor], places: Sequence[Tensor]) -> list[Tensor]:
        """Project the features of each map `[N, C, H, W]` at its `places`, int64 `[P]`, indices `y * W + x`.

        Returns:
            One tensor `[N, P, features]` of unit vectors per map.
        """
        return [
            F.normalize(perceptron(one.flatten(2)[:, :, where].transpose(1, 2)), dim=2)
            for perceptron, one, where in zip(self.perceptrons, maps, places, strict=True)
        ]


def random_places(maps: Sequence[Tensor], count: int) -> list[Tensor]:
    """Draw up to `count` different places of each map `[N, C, H, W]`, the same for all pictures.

    Uses torch's global random numbers.
    """
    return [torch.randperm(one[0, 0].numel(), device=one.device)[:count] for one in maps]
