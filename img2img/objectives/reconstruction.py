"""How far a result is from the truth, pixel by pixel. All take two tensors of one shape and return a scalar."""

import torch
from torch import Tensor, nn
from torch.nn import functional as F


class L1(nn.Module):
    """Mean absolute difference."""

    def forward(self, result: Tensor, truth: Tensor) -> Tensor:
        return F.l1_loss(result, truth)


class L2(nn.Module):
    """Mean squared difference."""

    def forward(self, result: Tensor, truth: Tensor) -> Tensor:
        return F.mse_loss(result, truth)


class Charbonnier(nn.Module):
    """Mean of sqrt(difference^2 + epsilon^2), an L1 that is smooth at zero (Lai et al. 2017, section 3.3)."""

    def __init__(self, epsilon: float = 1e-3) -> None:
        super().__init__()
        self.epsilon = epsilon

    def forward(self, result: Tensor, truth: Tensor) -> Tensor:
        return torch.sqrt((result - truth) ** 2 + self.epsilon**2).mean()


class Frequency(nn.Module):
    """Mean absolute difference of the two-dimensional Fourier transforms, real and imaginary part apart
    (Cho et al. 2021, "Rethinking Coarse-to-Fine Approach in Single Image Deblurring", equation 8)."""

    def forward(self, result: Tensor, truth: Tensor) -> Tensor:
        difference = torch.fft.rfft2((result - truth).float(), norm="ortho")
        return torch.view_as_real(difference).abs().mean()
