"""Contract 1 around generators that work in -1..1: pictures 0..1 in and out, everything else inside the graph."""

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

LUMA = (0.299, 0.587, 0.114)
"""Of ITU-R BT.601, as Pillow turns RGB into grey."""


class Signed(nn.Module):
    """A generator `[N, C, H, W]` to `[N, 1 or 3, H, W]` in -1..1 as one from RGB 0..1 to RGB 0..1. What a residual
    generator makes may lie beyond: `onnx_file.Face` cuts that off.

    Args:
        generator: takes values -1..1, of `channels` channels; 1: luma.
        palette: uint8 `[K, 3]`, where the generator takes label maps as K one-hot channels: each pixel is of the class
            whose colour is nearest.
    """

    def __init__(self, generator: nn.Module, *, channels: int = 3, palette: NDArray[np.uint8] | None = None) -> None:
        super().__init__()
        self.generator = generator
        self.channels = channels
        colours = None if palette is None else torch.from_numpy(palette.astype(np.float32) / 255)
        self.register_buffer("palette", colours, persistent=False)

    def forward(self, image: Tensor) -> Tensor:
        result: Tensor = self.generator(self._prepared(image))
        return result.add(1).div(2).expand(-1, 3, -1, -1)

    def _prepared(self, image: Tensor) -> Tensor:
        if isinstance(self.palette, Tensor):
            distance = (image[:, None] - self.palette[None, :, :, None, None]).square().sum(2)
            # By comparison and not by argmax: onnxruntime has no one-hot on the channel axis for every provider.
            return (distance <= distance.amin(1, keepdim=True)).float()
        if self.channels == 1:
            red, green, blue = LUMA
            image = red * image[:, :1] + green * image[:, 1:2] + blue * image[:, 2:]
        return image * 2 - 1


class Labelled(nn.Module):
    """A generator of (picture -1..1, label `[N, K]`) as one from (`image` RGB 0..1, `domain` `[N, K]`) to RGB 0..1, as
    `Signed`."""

    def __init__(self, generator: nn.Module) -> None:
        super().__init__()
        self.generator = generator

    def forward(self, image: Tensor, domain: Tensor) -> Tensor:
        result: Tensor = self.generator(image * 2 - 1, domain)
        return result.add(1).div(2)


class Filling(nn.Module):
    """A generator of (picture -1..1 with an empty hole, mask) as one from (`image` RGB 0..1, `mask`, 1 = fill).

    What lies in the hole is not looked at, and what lies outside comes back as it is. Generators that return a coarse
    and a refined result are asked for the last one.
    """

    def __init__(self, generator: nn.Module) -> None:
        super().__init__()
        self.generator = generator

    def forward(self, image: Tensor, mask: Tensor) -> Tensor:
        mask = (mask > 0.5).float()
        result = self.generator((image * 2 - 1) * (1 - mask), mask)
        filled: Tensor = result[-1] if isinstance(result, tuple) else result
        return filled.add(1).div(2).clamp(0, 1) * mask + image * (1 - mask)
