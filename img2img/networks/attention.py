"""Self-attention: every place of a feature map sees all others."""

import torch
from torch import Tensor, nn


class SelfAttention(nn.Module):
    """Adds to each place a weighted sum of all places: `[N, C, H, W]` to the same shape.

    Zhang et al. 2019 (SAGAN), section 3.1: y = gamma v(sum_i softmax_i(f(x_i) . g(x_j)) h(x_i)) + x. f, g, h and v are
    1x1 convolutions; f and g have C / 8 channels, h has C / 2 as in the official code. gamma starts at 0, so an
    untrained layer returns its input.

    Memory and time grow with the square of H * W: in float32, the weights alone need 64 MiB per picture for 64 x 64
    places and 16 GiB for 256 x 256. Use it where maps are small.
    """

    def __init__(self, channels: int) -> None:
        super().__init__()
        narrow, half = max(channels // 8, 1), max(channels // 2, 1)
        self.f = nn.Conv2d(channels, narrow, 1)
        self.g = nn.Conv2d(channels, narrow, 1)
        self.h = nn.Conv2d(channels, half, 1)
        self.v = nn.Conv2d(half, channels, 1)
        self.gamma = nn.Parameter(torch.zeros(()))

    def forward(self, hidden: Tensor) -> Tensor:
        keys, queries, values = (layer(hidden).flatten(2) for layer in (self.f, self.g, self.h))
        # Plain products: torch's fused attention has no second derivative, which gradient penalties need.
        weights = torch.softmax(queries.transpose(1, 2) @ keys, 2)
        attended = (values @ weights.transpose(1, 2)).unflatten(2, hidden.shape[2:])
        result: Tensor = self.gamma * self.v(attended) + hidden
        return result
