"""Pixel-wise distances between result and truth. All take two tensors of one shape and return a scalar."""

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from img2img.errors import ConfigError
from img2img.objectives.colour import chroma


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


class PSNR(nn.Module):
    """Mean of -PSNR over the pictures, in dB (HINet, Chen et al. 2021, section 3.3; values 0..1).

    Each picture counts alike, however large its error is. With the mean squared error, poor pictures decide what a
    restoring network does to good ones.

    Args:
        epsilon: added to the mean squared error, so that a perfect result has a finite loss. 1e-5 is 50 dB.
    """

    def __init__(self, epsilon: float = 1e-5) -> None:
        super().__init__()
        self.epsilon = epsilon

    def forward(self, result: Tensor, truth: Tensor) -> Tensor:
        errors = (result - truth).float().square().flatten(1).mean(1)
        return 10 * torch.log10(errors + self.epsilon).mean()


class Frequency(nn.Module):
    """Mean absolute difference of the two-dimensional Fourier transforms, real and imaginary parts separately.

    Cho et al. 2021, "Rethinking Coarse-to-Fine Approach in Single Image Deblurring", equation 8.
    """

    def forward(self, result: Tensor, truth: Tensor) -> Tensor:
        difference = torch.fft.rfft2((result - truth).float(), norm="ortho")
        return torch.view_as_real(difference).abs().mean()


class Chroma(nn.Module):
    """Mean absolute difference of Cb and Cr, in which colourful pixels and rare hues count more.

    Most pixels of photos are nearly grey, and most of the others are brown or orange. A plain L1 therefore learns to
    paint in grey and brown. Zhang et al. 2016, "Colorful Image Colorization", section 2.2 and equation 4, weight each
    of 313 colours by 1 / ((1 - lambda) p + lambda / Q), where p is its share and Q the number of colours, with lambda =
    1/2. Here the weight of a pixel is a mixture of 1 and its chroma times that of its hue, in 12 sectors, whose shares
    are those of the chroma in the batch. So a pixel's weight does not jump where grey begins, and no table of photos is
    needed. `[N, 3, H, W]`, RGB.

    Args:
        even: share of the weight that all pixels get alike, 0 to 1.
    """

    HUES = 12

    def __init__(self, even: float = 0.5) -> None:
        super().__init__()
        self.even = even

    def forward(self, result: Tensor, truth: Tensor) -> Tensor:
        if truth.shape[1] != 3:
            raise ConfigError("objectives.chroma compares colours, but the pictures are grey; set its weight to 0")
        wanted = chroma(truth.float())
        distance = (chroma(result.float()) - wanted).abs().mean(1)
        return (self._weights(wanted) * distance).mean()

    def _weights(self, wanted: Tensor) -> Tensor:
        """Return the weight of each pixel, `[N, H, W]`, with a mean of 1, for the chroma `[N, 2, H, W]`."""
        colourful = wanted.square().sum(1).sqrt()
        turns = torch.atan2(wanted[:, 1], wanted[:, 0]) / (2 * torch.pi) + 0.5
        hue = (turns * self.HUES).long().clamp_max(self.HUES - 1)
        amounts = torch.bincount(hue.flatten(), colourful.flatten(), self.HUES)
        shares = amounts / amounts.sum().clamp_min(1e-6)
        weight = colourful / (0.5 * shares + 0.5 / self.HUES)[hue]
        return self.even + (1 - self.even) * weight / weight.mean().clamp_min(1e-6)


class TotalVariation(nn.Module):
    """Total variation of the result: mean absolute difference of horizontal neighbours plus that of vertical ones.

    The anisotropic form (Rudin et al. 1992; Mahendran and Vedaldi 2015, section 3, beta = 1). `[N, C, H, W]`, H and W
    at least 2. Ignores the truth; it takes one only to have the same signature as the other objectives.
    """

    def forward(self, result: Tensor, truth: Tensor | None = None) -> Tensor:
        across, down = result.diff(dim=-1), result.diff(dim=-2)
        return across.abs().mean() + down.abs().mean()


class MaskedReconstruction(nn.Module):
    """Another reconstruction objective, with separate weights for the hole and the pixels around it.

    `hole * (its mean over the hole) + valid * (its mean over the rest)`. Each region is normalised by its own area over
    the whole batch, so that a small hole counts as much as a large one. A region without pixels counts 0. Mask values
    between 0 and 1 blend result and truth: exact for L1, and for any objective if masks are 0 or 1. The frequency
    objective and SSIM look beyond one pixel; they see the other region as perfect.

    Args:
        objective: takes (result, truth) and is 0 or a constant if they agree; so not the total variation.
        hole: weight of the hole.
        valid: weight of the pixels around it.

    Raises:
        ConfigError: the objective does not compare with the truth, or a weight is negative.
    """

    def __init__(self, objective: nn.Module, hole: float = 1.0, valid: float = 1.0) -> None:
        super().__init__()
        if isinstance(objective, TotalVariation):
            raise ConfigError("total variation does not compare with the truth; it cannot be weighted by a mask")
        if hole < 0 or valid < 0:
            raise ConfigError(f"the weights of a masked objective must not be negative: hole = {hole}, valid = {valid}")
        self.objective = objective
        self.hole = hole
        self.valid = valid

    def forward(self, result: Tensor, truth: Tensor, mask: Tensor) -> Tensor:
        """Return a scalar. `result` and `truth` are `[N, C, H, W]`, `mask` is `[N, 1, H, W]`, 1 = hole."""
        mask = mask.to(result)
        return self.hole * self._over(mask, result, truth) + self.valid * self._over(1 - mask, result, truth)

    def _over(self, region: Tensor, result: Tensor, truth: Tensor) -> Tensor:
        share = region.mean()
        agreement = self.objective(truth, truth)  # Charbonnier is not 0 even for equal pictures
        outside = (1 - share) * agreement
        over_all: Tensor = self.objective(truth + region * (result - truth), truth)
        return torch.where(share > 0, (over_all - outside) / share.clamp_min(1e-12), 0 * over_all)
