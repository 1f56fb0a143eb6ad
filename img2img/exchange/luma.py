"""Wraps a network of one channel: luma runs through it, colours are enlarged beside it.

The graph computes the same as `runtime.network.adapter` does for a one-channel network without a card.
"""

import math

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from img2img.objectives.colour import luma
from img2img.runtime.network.adapter import CHROMA_CONTEXT


class LumaWrapper(nn.Module):
    """Turns a network with one channel, 0..1, into one of RGB 0..1. It runs on the luma.

    The colour differences (R-Y, G-Y, B-Y) are enlarged bicubically and added, as in the super-resolution papers. Grey
    pictures stay grey.

    Args:
        scale: side of the network's result / side of its input.
    """

    def __init__(self, network: nn.Module, scale: int) -> None:
        super().__init__()
        self.network = network
        self.scale = scale
        self.register_buffer("kernels", _kernels(scale), persistent=False)

    def forward(self, image: Tensor) -> Tensor:
        grey = luma(image)
        result: Tensor = self.network(grey)
        return result + self._enlarged(image - grey)

    def _enlarged(self, difference: Tensor) -> Tensor:
        if self.scale == 1:
            return difference
        assert isinstance(self.kernels, Tensor)
        # Zeros lie outside the picture. Dividing by what the kernels take from it has the effect of Pillow's resize,
        # which leaves out what is outside.
        share = F.conv2d(torch.ones_like(difference[:, :1]), self.kernels, padding=CHROMA_CONTEXT)
        planes = [F.conv2d(difference[:, c : c + 1], self.kernels, padding=CHROMA_CONTEXT) / share for c in range(3)]
        return F.pixel_shuffle(torch.cat(planes, 1), self.scale)


def _kernels(scale: int) -> Tensor:
    """For each of the scale * scale pixels that a pixel becomes, its bicubic weights: [scale ** 2, 1, 5, 5]."""
    rows = torch.zeros(scale, 2 * CHROMA_CONTEXT + 1)
    for phase in range(scale):
        centre = (phase + 0.5) / scale - 0.5  # relative to the centre of the input pixel
        rows[phase] = torch.tensor([_cubic(at - centre) for at in range(-CHROMA_CONTEXT, CHROMA_CONTEXT + 1)])
        rows[phase] /= rows[phase].sum()
    return (rows[:, None, :, None] * rows[None, :, None, :]).reshape(scale * scale, 1, *[2 * CHROMA_CONTEXT + 1] * 2)


def _cubic(distance: float, a: float = -0.5) -> float:
    """Keys' cubic kernel, with Pillow's parameter."""
    x = math.fabs(distance)
    if x < 1:
        return ((a + 2) * x - (a + 3)) * x * x + 1
    return (((x - 5) * x + 8) * x - 4) * a if x < 2 else 0.0
