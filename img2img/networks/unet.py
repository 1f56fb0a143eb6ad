"""The U-Net of pix2pix: an encoder, a decoder, and at each size a skip from one to the other."""

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from img2img.errors import ConfigError
from img2img.networks.norms import biased, normalisation
from img2img.networks.sizes import check_size
from img2img.networks.upsampling import upsampling

DEEPEST = 8
"""Depth of the paper's network, for 256 x 256."""


class Level(nn.Module):
    """One halving, what lies below it, and the doubling back; the input is put beside the result.

    `[N, outer, H, W]` to `[N, 2 * outer, H, W]`. `below` is the next level, or None at the bottom, where the encoder
    has no norm: it may be down to one pixel, and a norm would set that to zero.
    """

    def __init__(
        self, outer: int, inner: int, below: nn.Module | None, *, norm: str, dropout: bool, upsample: str
    ) -> None:
        super().__init__()
        bias = biased(norm)
        layers: list[nn.Module] = [nn.LeakyReLU(0.2), nn.Conv2d(outer, inner, 4, 2, 1, bias=bias)]
        if below is not None:
            layers += [normalisation(norm, inner), below]
        wide = inner if below is None else 2 * inner
        layers += [nn.ReLU(), upsampling(upsample, wide, outer, bias=bias), normalisation(norm, outer)]
        if dropout:
            layers.append(nn.Dropout(0.5))
        self.model = nn.Sequential(*layers)

    def forward(self, skip: Tensor) -> Tensor:
        return torch.cat((skip, self.model(skip)), 1)


class Outside(nn.Module):
    """The outermost level as published: from the picture and back to one, -1..1. `[N, inputs, H, W]` to
    `[N, outputs, H, W]`."""

    def __init__(self, inputs: int, outputs: int, features: int, below: nn.Module, *, norm: str, upsample: str) -> None:
        super().__init__()
        self.model = nn.Sequential(
            nn.Conv2d(inputs, features, 4, 2, 1, bias=biased(norm)),
            below,
            nn.ReLU(),
            upsampling(upsample, 2 * features, outputs),
            nn.Tanh(),
        )

    def forward(self, image: Tensor) -> Tensor:
        result: Tensor = self.model(image)
        return result


class Residual(nn.Module):
    """The outermost level of a network that changes a picture: what it makes is added to the input's first channels.

    The published level draws every pixel anew from features of half the size. Here the last layers see the input at its
    full size, and what is to stay as it is, a line, a white ground, costs nothing. `[N, inputs, H, W]` to
    `[N, outputs, H, W]`, not bounded.
    """

    def __init__(self, inputs: int, outputs: int, features: int, below: nn.Module, *, norm: str, upsample: str) -> None:
        super().__init__()
        self.outputs = outputs
        half = max(features // 2, 8)
        self.down = nn.Conv2d(inputs, features, 4, 2, 1, bias=biased(norm))
        self.below = below
        self.up = upsampling(upsample, 2 * features, half)
        self.last = nn.Sequential(
            nn.Conv2d(half + inputs, half, 3, 1, 1), nn.LeakyReLU(0.2), nn.Conv2d(half, outputs, 3, 1, 1)
        )

    def forward(self, image: Tensor) -> Tensor:
        features = self.up(F.relu(self.below(self.down(image))))
        change: Tensor = self.last(torch.cat((F.leaky_relu(features, 0.2), image), 1))
        return image[:, : self.outputs] + change


class UNet(nn.Module):
    """Isola et al. 2017, appendix 6.1.1, in the layout of `UnetGenerator` (repository
    junyanz/pytorch-CycleGAN-and-pix2pix, `networks.py`).

    Args:
        inputs, outputs: channels of the two pictures.
        features: channels after the first halving; they double at each one, up to 8 * features.
        downs: halvings, 2 to 10; `depth` tells how many a size allows. 8 for 256 px in the paper, at least 5 in the
            official code.
        norm: "batch", "instance" or "none".
        dropout: 50 % dropout after the first three decoder layers (the paper's CD512), as far as they are
            8 * features wide and always after the first. The official PyTorch code leaves out the first and drops
            after the second to the fourth; the layout of the state dict is the same.
        upsampling: "transpose" or "resize".
        residual: add what the network makes to the first `outputs` channels of the input, which are a picture, see
            `Residual`; the layout of the state dict is another one then.

    Input `[N, inputs, H, W]`, values -1..1, H and W multiples of `2 ** downs`; output `[N, outputs, H, W]`, -1..1, of a
    residual one not bounded.

    Attributes:
        multiple, minimum: of the sides of a picture, in pixels.

    Raises:
        ConfigError: `downs` is out of range, or a word is unknown; residual, and there are more outputs than inputs.
    """

    def __init__(
        self,
        inputs: int = 3,
        outputs: int = 3,
        features: int = 64,
        downs: int = 8,
        norm: str = "batch",
        dropout: bool = True,
        upsampling: str = "transpose",
        residual: bool = False,
    ) -> None:
        super().__init__()
        if residual and inputs < outputs:
            raise ConfigError(f"unet: {outputs} channels cannot be added to an input of {inputs}: set residual = false")
        if not 2 <= downs <= 10:
            raise ConfigError(f"unet: downs = {downs} must lie between 2 and 10")
        self.multiple = self.minimum = 2**downs
        widths = [features * min(2**i, 8) for i in range(downs)]
        dropped = min(3, max(1, downs - 4)) if dropout else 0
        below: nn.Module | None = None
        for i in reversed(range(1, downs)):
            drops = downs - 1 - i < dropped
            below = Level(widths[i - 1], widths[i], below, norm=norm, dropout=drops, upsample=upsampling)
        assert below is not None
        outermost = Residual if residual else Outside
        self.model = outermost(inputs, outputs, features, below, norm=norm, upsample=upsampling)

    @staticmethod
    def depth(size: int) -> int:
        """How many halvings fit pictures whose sides are multiples of `size`: 256 gives 8, 128 gives 7, 96 gives 5.

        Raises:
            ConfigError: fewer than 2 fit.
        """
        fitting = (size & -size).bit_length() - 1 if size > 0 else 0
        if fitting < 2:
            raise ConfigError(f"unet: a side of {size} cannot be halved twice, use a multiple of 4 (better of 32)")
        return min(fitting, DEEPEST)

    def forward(self, image: Tensor) -> Tensor:
        check_size(image, f"unet with {self.multiple.bit_length() - 1} downs", multiple=self.multiple)
        result: Tensor = self.model(image)
        return result
