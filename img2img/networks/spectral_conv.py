"""A convolution whose kernel is divided by its largest singular value, stored as the published checkpoints have it."""

from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F


class SpectralConv2d(nn.Conv2d):
    """A 2-d convolution with spectral normalisation (Miyato et al. 2018, algorithm 1), one power iteration a step.

    Takes the arguments of `nn.Conv2d` and stores what the older `torch.nn.utils.spectral_norm` stores, so that
    checkpoints made with it load: `bias`, `weight_orig`, `weight_u`, `weight_v`. Unlike that hook it can be copied
    after a forward pass, and the singular value is computed in float32 under autocast too. The singular vectors move
    in training mode only; in eval mode the layer is a pure function.
    """

    weight_u: Tensor
    weight_v: Tensor

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        weight = self.weight
        del self._parameters["weight"]
        self.weight_orig = nn.Parameter(weight.detach())
        matrix = self.weight_orig.detach().flatten(1)
        u, v = (F.normalize(torch.randn(side, device=matrix.device), dim=0) for side in matrix.shape)
        self.register_buffer("weight_u", u)
        self.register_buffer("weight_v", v)
        for _ in range(15):  # without it, a network in eval mode before its first step divides by almost nothing
            self._iterate()

    @torch.no_grad()
    def _iterate(self) -> None:
        matrix = self.weight_orig.flatten(1)
        self.weight_v.copy_(F.normalize(torch.mv(matrix.t(), self.weight_u), dim=0, eps=1e-12))
        self.weight_u.copy_(F.normalize(torch.mv(matrix, self.weight_v), dim=0, eps=1e-12))

    def normalised(self) -> Tensor:
        """The kernel over its largest singular value, `[outputs, inputs / groups, k, k]`."""
        with torch.autocast(self.weight_orig.device.type, enabled=False):
            if self.training:
                self._iterate()
            # Copies: a second forward pass before the backward pass must not change what the first one saved.
            u, v = self.weight_u.clone(), self.weight_v.clone()
            kernel: Tensor = self.weight_orig / torch.dot(u, torch.mv(self.weight_orig.flatten(1), v))
        return kernel

    def forward(self, hidden: Tensor) -> Tensor:
        result: Tensor = self._conv_forward(hidden, self.normalised(), self.bias)
        return result
