"""Structural similarity (SSIM) as a loss."""

from functools import lru_cache

import torch
from torch import Tensor, nn
from torch.nn import functional as F

WINDOW = 11
SIGMA = 1.5
C1 = 0.01**2
C2 = 0.03**2


class Dissimilarity(nn.Module):
    """1 - SSIM, averaged over positions and channels: 0 if the pictures agree, at most 2.

    Wang et al. 2004 with their window (11x11, Gaussian of sigma 1.5) and constants; as a loss Zhao et al. 2017, "Loss
    Functions for Image Restoration with Neural Networks", section III-B. Pictures are mirrored beyond their border.
    SSIM barely reacts to a shift of all colours, so combine it with a distance such as L1.

    Computed in float32 without autocast, because a variance is a small difference of large numbers.

    Args:
        signed: values are -1..1, not 0..1.

    Pictures are `[N, C, H, W]` with sides of at least 6 pixels.
    """

    def __init__(self, signed: bool = True) -> None:
        super().__init__()
        self.signed = signed

    def forward(self, result: Tensor, truth: Tensor) -> Tensor:
        with torch.autocast(result.device.type, enabled=False):
            a, b = (self._unit(picture.float()) for picture in (result, truth))
            blurred = _blur(torch.cat((a, b, a * a + b * b, a * b), 1))
            mean_a, mean_b, squares, product = torch.split(blurred, a.shape[1], 1)
            means, both = mean_a * mean_b, mean_a**2 + mean_b**2
            similarity = (2 * means + C1) * (2 * (product - means) + C2) / ((both + C1) * (squares - both + C2))
            loss: Tensor = 1 - similarity.mean()
            return loss

    def _unit(self, picture: Tensor) -> Tensor:
        return (picture + 1) / 2 if self.signed else picture


def _blur(planes: Tensor) -> Tensor:
    # Matrix products, not convolutions: only for matrix products do GPUs use full precision by default.
    down, across = (_gaussian(side, planes.device) for side in planes.shape[2:])
    blurred: Tensor = down @ planes @ across.mT
    return blurred


@lru_cache(maxsize=8)
def _gaussian(side: int, device: torch.device) -> Tensor:
    """Return the blur of a line of `side` pixels, mirrored beyond its ends, as a matrix to multiply from the left."""
    x = torch.arange(WINDOW) - WINDOW // 2
    window = torch.exp(-(x**2) / (2 * SIGMA**2))
    lines = F.pad(torch.eye(side)[:, None], (WINDOW // 2, WINDOW // 2), mode="reflect")
    return F.conv1d(lines, (window / window.sum())[None, None])[:, 0].T.contiguous().to(device)
