"""Shows a discriminator how much the pictures of a batch differ, so that a generator cannot make one picture only."""

import torch
from torch import Tensor, nn

GROUP = 4
"""Pictures that are compared with each other (official code of Karras et al. 2018)."""

EPSILON = 1e-8


class MinibatchDeviation(nn.Module):
    """Appends the mean standard deviation of a group of pictures as a plane: `[N, C, H, W]` to `[N, C + 1, H, W]`.

    Karras et al. 2018 (progressive growing), section 3: the standard deviation over the pictures, for each feature and
    place, averaged over features and places. The batch is split into groups of at least 4; a smaller batch is one
    group. A single picture gives the square root of `EPSILON`. Has no weights.
    """

    def forward(self, hidden: Tensor) -> Tensor:
        planes = [self._plane(group) for group in hidden.tensor_split(max(len(hidden) // GROUP, 1))]
        return torch.cat((hidden, torch.cat(planes)), 1)

    def _plane(self, group: Tensor) -> Tensor:
        # Squares lose small differences in half precision.
        variance = group.float().var(0, correction=0)
        deviation = torch.sqrt(variance + EPSILON).mean().to(group)
        return deviation.expand(len(group), 1, *group.shape[2:])
