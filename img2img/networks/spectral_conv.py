"""A convolution with spectral norm, stored in the layout of published checkpoints."""

from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F


class SpectralConv2d(nn.Conv2d):
    """A 2-d convolution with spectral norm (Miyato et al. 2018, algorithm 1), one power iteration per step.

    Takes the arguments of `nn.Conv2d` and stores the same keys as the older `torch.nn.utils.spectral_norm`, so that
    checkpoints made with it load: `bias`, `weight_orig`, `weight_u`, `weight_v`. Unlike that hook, it can be copied
    after a forward pass, and it computes the singular value in float32 even under autocast. Only training mode updates
    the singular vectors; in eval mode the layer is a pure function.
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
        for _ in range(15):  # without this, a new network in eval mode would divide by almost zero
            self._iterate()

    @torch.no_grad()
    def _iterate(self) -> None:
        matrix = self.weight_orig.flatten(1)
        self.weight_v.copy_(F.normalize(torch.mv(matrix.t(), self.weight_u), dim=0, eps=1e-12))
        self.weight_u.copy_(F.normalize(torch.mv(matrix, self.weight_v), dim=0, eps=1e-12))

    def normalised(self) -> Tensor:
        """Return the kernel divided by its largest singular value, `[outputs, inputs / groups, k, k]`."""
        with torch.autocast(self.weight_orig.device.type, enabled=False):
            if self.training:
                self._iterate()
            # Copies, so that a second forward pass before the backward pass does not change what the first one saved.
            u, v = self.weight_u.clone(), self.weight_v.clone()
            kernel: Tensor = self.weight_orig / torch.dot(u, torch.mv(self.weight_orig.flatten(1), v))
        return kernel

    def forward(self, hidden: Tensor) -> Tensor:
        result: Tensor = self._conv_forward(hidden, self.normalised(), self.bias)
        return result
