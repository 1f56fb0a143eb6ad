"""Halves a feature map with a blur, so that a shifted picture gives a shifted result."""

import torch
from torch import Tensor, nn
from torch.nn import functional as F


class BlurPool(nn.Module):
    """Blurs with [1, 2, 1] and takes every second pixel: `[N, C, H, W]` to `[N, C, ceil(H / 2), ceil(W / 2)]`.

    Zhang 2019, "Making Convolutional Networks Shift-Invariant Again", as in the official code of CUT (`Downsample`).
    Mirrors the edges. Has no weights.
    """

    kernel: Tensor

    def __init__(self, channels: int) -> None:
        super().__init__()
        line = torch.tensor([0.25, 0.5, 0.25])
        self.register_buffer("kernel", torch.outer(line, line).repeat(channels, 1, 1, 1), persistent=False)

    def forward(self, hidden: Tensor) -> Tensor:
        mirrored = F.pad(hidden, (1, 1, 1, 1), mode="reflect")
        return F.conv2d(mirrored, self.kernel.to(hidden.dtype), stride=2, groups=hidden.shape[1])
