"""The U-Net of pix2pix: an encoder, a decoder, and a skip connection at each size."""

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from img2img.errors import ConfigError
from img2img.networks.attention import SelfAttention
from img2img.networks.growing import Growth
from img2img.networks.norms import needs_bias, norm_layer
from img2img.networks.sizes import check_size
from img2img.networks.upsampling import upsampling_layer

MAX_DEPTH = 8
"""Depth of the paper's network, for 256 x 256 pixels."""

ATTENTION_DEPTH = 3
"""Self-attention comes after this many halvings, at an eighth of the size. Deeper maps have few places to relate."""


class Level(nn.Module):
    """One halving, the levels below it, and one doubling. The input is concatenated with the result.

    `[N, outer, H, W]` to `[N, 2 * outer, H, W]`. `below` is the next level, or None at the bottom. There the encoder
    has no norm: the map may be a single pixel, which a norm would set to zero. `attention` follows the halving.
    """

    def __init__(
        self,
        outer: int,
        inner: int,
        below: nn.Module | None,
        *,
        norm: str,
        dropout: bool,
        upsample: str,
        attention: bool = False,
    ) -> None:
        super().__init__()
        bias = needs_bias(norm)
        layers: list[nn.Module] = [nn.LeakyReLU(0.2), nn.Conv2d(outer, inner, 4, 2, 1, bias=bias)]
        if below is not None:
            layers.append(norm_layer(norm, inner))
        if attention:
            layers.append(SelfAttention(inner))
        self.below = len(layers)
        if below is not None:
            layers.append(below)
        wide = inner if below is None else 2 * inner
        layers += [nn.ReLU(), upsampling_layer(upsample, wide, outer, bias=bias), norm_layer(norm, outer)]
        if dropout:
            layers.append(nn.Dropout(0.5))
        self.model = nn.Sequential(*layers)

    def forward(self, skip: Tensor) -> Tensor:
        return torch.cat((skip, self.model(skip)), 1)

    def descend(self, skip: Tensor) -> Tensor:
        """Return the input of the level below, which must exist."""
        result: Tensor = self.model[: self.below](skip)
        return result

    def ascend(self, skip: Tensor, deeper: Tensor) -> Tensor:
        """Return the result for `skip` and the result of the level below."""
        return torch.cat((skip, self.model[self.below + 1 :](deeper)), 1)


class Outermost(nn.Module):
    """The outermost level as published: from a picture to a picture, -1..1.

    `[N, inputs, H, W]` to `[N, outputs, H, W]`.
    """

    def __init__(self, inputs: int, outputs: int, features: int, below: nn.Module, *, norm: str, upsample: str) -> None:
        super().__init__()
        self.model = nn.Sequential(
            nn.Conv2d(inputs, features, 4, 2, 1, bias=needs_bias(norm)),
            below,
            nn.ReLU(),
            upsampling_layer(upsample, 2 * features, outputs),
            nn.Tanh(),
        )

    def forward(self, image: Tensor) -> Tensor:
        result: Tensor = self.model(image)
        return result

    def descend(self, image: Tensor) -> Tensor:
        """Return the input of the level below."""
        result: Tensor = self.model[:1](image)
        return result

    def ascend(self, image: Tensor, deeper: Tensor) -> Tensor:
        """Return the picture for the result of the level below. `image` is there to match `Level`."""
        result: Tensor = self.model[2:](deeper)
        return result


class ResidualOutermost(nn.Module):
    """The outermost level of a network that predicts a change, which is added to the first channels of the input.

    The published level redraws every pixel from features of half the size. Here the last layers see the input at full
    size, so that unchanged parts, such as lines or a white background, cost nothing.

    `[N, inputs, H, W]` to `[N, outputs, H, W]`, not bounded.
    """

    def __init__(self, inputs: int, outputs: int, features: int, below: nn.Module, *, norm: str, upsample: str) -> None:
        super().__init__()
        self.outputs = outputs
        half = max(features // 2, 8)
        self.down = nn.Conv2d(inputs, features, 4, 2, 1, bias=needs_bias(norm))
        self.below = below
        self.up = upsampling_layer(upsample, 2 * features, half)
        self.last = nn.Sequential(
            nn.Conv2d(half + inputs, half, 3, 1, 1), nn.LeakyReLU(0.2), nn.Conv2d(half, outputs, 3, 1, 1)
        )

    def forward(self, image: Tensor) -> Tensor:
        features = self.up(F.relu(self.below(self.down(image))))
        change: Tensor = self.last(torch.cat((F.leaky_relu(features, 0.2), image), 1))
        return image[:, : self.outputs] + change


class UNet(nn.Module):
    """Encoder and decoder with skip connections.

    Isola et al. 2017, appendix 6.1.1, in the layout of `UnetGenerator` (repository
    junyanz/pytorch-CycleGAN-and-pix2pix, `networks.py`).

    Args:
        inputs, outputs: channels of the two pictures.
        features: channels after the first halving; they double with each one, up to 8 * features.
        downs: halvings, 2 to 10; `depth` returns how many a size allows. The paper has 8 for 256 px, the official code
            at least 5.
        norm: "batch", "instance", "layer" or "none".
        dropout: 50 % dropout after the first three decoder layers (the paper's CD512), as far as they are
            8 * features wide, and always after the first. The official PyTorch code skips the first and drops after the
            second to the fourth; the layout of the state dict is the same.
        upsampling: "transpose" or "resize".
        residual: add the output to the first `outputs` channels of the input, which must be a picture, see
            `ResidualOutermost`. Changes the layout of the state dict.
        attention: self-attention (Zhang et al. 2019) in the encoder, after the third halving, or after the second if
            there are only two. It shifts keys. Memory grows with the square of the pixels: 64 MiB for 512 px, 1 GiB for
            1024 px.
        growing: fractions of the training at which the sides double, see the setting `growing` of a method. Adds layers
            `growth.*`, which a fully grown network does not use.

    Input `[N, inputs, H, W]`, values -1..1, H and W multiples of `2 ** downs`; output `[N, outputs, H, W]`, -1..1, or
    unbounded if residual.

    Attributes:
        multiple, minimum: constraints on H and W, in pixels.

    Raises:
        ConfigError: `downs` is out of range, a norm or upsampling is unknown, or the network is residual with more
            outputs than inputs or with `growing`.
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
        attention: bool = False,
        growing: tuple[float, ...] = (),
    ) -> None:
        super().__init__()
        if residual and growing:
            raise ConfigError("unet: a residual network cannot grow; set residual = false, or leave growing empty")
        if residual and inputs < outputs:
            raise ConfigError(
                f"unet: cannot add {outputs} output channels to {inputs} input channels; set residual = false"
            )
        if not 2 <= downs <= 10:
            raise ConfigError(f"unet: downs = {downs} must be between 2 and 10")
        self.multiple = self.minimum = 2**downs
        widths = [features * min(2**i, 8) for i in range(downs)]
        dropped = min(3, max(1, downs - 4)) if dropout else 0
        below: nn.Module | None = None
        for i in reversed(range(1, downs)):
            drops = downs - 1 - i < dropped
            below = Level(
                widths[i - 1],
                widths[i],
                below,
                norm=norm,
                dropout=drops,
                upsample=upsampling,
                attention=attention and i == min(ATTENTION_DEPTH, downs) - 1,
            )
        assert below is not None
        outermost = ResidualOutermost if residual else Outermost
        self.model = outermost(inputs, outputs, features, below, norm=norm, upsample=upsampling)
        entered = [inputs, *widths[:-1]]  # after r halvings, level r begins
        results = (outputs, [2 * width for width in entered])
        self.growth = Growth("unet", growing, inputs, entered, results) if growing else None

    @staticmethod
    def depth(size: int) -> int:
        """Return how many halvings fit pictures whose sides are multiples of `size`: 8 for 256, 7 for 128, 5 for 96.

        Raises:
            ConfigError: fewer than 2 fit.
        """
        fitting = (size & -size).bit_length() - 1 if size > 0 else 0
        if fitting < 2:
            raise ConfigError(f"unet: a side of {size} cannot be halved twice; use a multiple of 4; 32 is better")
        return min(fitting, MAX_DEPTH)

    def forward(self, image: Tensor) -> Tensor:
        check_size(image, f"unet with {self.multiple.bit_length() - 1} downs", multiple=self.multiple)
        if self.growth is not None and self.growth.missing():
            return self._growing(self.growth, image)
        result: Tensor = self.model(image)
        return result

    def _growing(self, growth: Growth, image: Tensor) -> Tensor:
        levels = [part for part in self.modules() if isinstance(part, Outermost | Level)]
        level, share, skip, features = growth.encode(image, lambda level, skip: levels[level].descend(skip))
        features = levels[level](features)

        def ascend() -> Tensor:
            assert skip is not None
            return levels[level - 1].ascend(skip, features)

        return growth.decode(level, share, features, ascend)
