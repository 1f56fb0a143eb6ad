"""SPADE, also known as GauGAN: a generator that draws pictures from label maps."""

from typing import cast

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from img2img.errors import ConfigError
from img2img.networks.sizes import check_size

NORMS = ("batch", "instance")


class SPADE(nn.Module):
    """Spatially adaptive normalisation: every place gets a scale and an offset from the label map.

    Park et al. 2019, equation 1 and figure 3, in the layout of `SPADE` (repository NVlabs/SPADE, `normalization.py`):
    norm(x) (1 + gamma) + beta. The norm has no weights of its own. gamma and beta are computed by two 3x3 convolutions
    from the label map, reduced to the size of the features by taking the nearest pixel.

    Args:
        channels: channels of the features.
        labels: channels of the label map.
        hidden: channels between the two convolutions.
        norm: "batch" or "instance".

    Input features `[N, channels, h, w]` and a label map `[N, labels, H, W]`; output `[N, channels, h, w]`.

    Raises:
        ConfigError: the norm is unknown.
    """

    def __init__(self, channels: int, labels: int, hidden: int = 128, norm: str = "batch") -> None:
        super().__init__()
        if norm not in NORMS:
            raise ConfigError(f"spade: unknown norm '{norm}'; choose from {', '.join(NORMS)}")
        self.param_free_norm: nn.Module = (
            nn.BatchNorm2d(channels, affine=False) if norm == "batch" else nn.InstanceNorm2d(channels)
        )
        self.mlp_shared = nn.Sequential(nn.Conv2d(labels, hidden, 3, 1, 1), nn.ReLU())
        self.mlp_gamma = nn.Conv2d(hidden, channels, 3, 1, 1)
        self.mlp_beta = nn.Conv2d(hidden, channels, 3, 1, 1)

    def forward(self, features: Tensor, labels: Tensor) -> Tensor:
        shared = self.mlp_shared(F.interpolate(labels, size=features.shape[2:], mode="nearest"))
        result: Tensor = self.param_free_norm(features) * (1 + self.mlp_gamma(shared)) + self.mlp_beta(shared)
        return result


class SPADEBlock(nn.Module):
    """Two times SPADE - leaky ReLU - conv, added to the input, which gets SPADE and a 1x1 convolution if widths differ.

    Park et al. 2019, figure 4, in the layout of `SPADEResnetBlock` (repository NVlabs/SPADE, `architecture.py`), which
    has leaky ReLU for the paper's ReLU. The hidden width is the smaller of both.

    `[N, inputs, h, w]` and a label map `[N, labels, H, W]` to `[N, outputs, h, w]`. `SPADE` explains `hidden` and
    `norm`.
    """

    def __init__(self, inputs: int, outputs: int, labels: int, hidden: int = 128, norm: str = "batch") -> None:
        super().__init__()
        middle = min(inputs, outputs)
        self.widens = inputs != outputs
        self.conv_0 = nn.Conv2d(inputs, middle, 3, 1, 1)
        self.conv_1 = nn.Conv2d(middle, outputs, 3, 1, 1)
        if self.widens:
            self.conv_s = nn.Conv2d(inputs, outputs, 1, bias=False)
        self.norm_0 = SPADE(inputs, labels, hidden, norm)
        self.norm_1 = SPADE(middle, labels, hidden, norm)
        if self.widens:
            self.norm_s = SPADE(inputs, labels, hidden, norm)

    def forward(self, features: Tensor, labels: Tensor) -> Tensor:
        change = self.conv_0(F.leaky_relu(self.norm_0(features, labels), 0.2))
        change = self.conv_1(F.leaky_relu(self.norm_1(change, labels), 0.2))
        kept = self.conv_s(self.norm_s(features, labels)) if self.widens else features
        result: Tensor = kept + change
        return result


class SPADEGenerator(nn.Module):
    """Draws a picture from a label map.

    Park et al. 2019, figure 4 and appendix A, in the layout of `SPADEGenerator` without its random code (repository
    NVlabs/SPADE, `generator.py`): the first layer sees the label map at the smallest size. The paper has spectral norm
    on the convolutions: `generator.spectral=true`.

    Args:
        inputs: channels of the label map, one per class. A picture works too.
        outputs: channels of the result.
        features: channels at full size; 16 times as many at the smallest size. 64 gives 93 million parameters.
        hidden: channels between a label map and its scales and offsets.
        ups: doublings, 4 to 7. The paper has 7, the official code 5 for 256 px.
        norm: "batch", as in the paper, or "instance".

    Input `[N, inputs, H, W]`, 0 or 1 for label maps, H and W multiples of `2 ** ups`, at least twice that; output
    `[N, outputs, H, W]`, -1..1.

    Attributes:
        multiple, minimum: constraints on H and W, in pixels.

    Raises:
        ConfigError: `ups` is out of range, or the norm is unknown.
    """

    def __init__(
        self,
        inputs: int = 3,
        outputs: int = 3,
        features: int = 64,
        hidden: int = 128,
        ups: int = 5,
        norm: str = "batch",
    ) -> None:
        super().__init__()
        if not 4 <= ups <= 7:
            raise ConfigError(f"spade: ups = {ups} must be between 4 and 7")
        self.multiple = 2**ups
        self.minimum = 2 * self.multiple  # a norm needs more than one pixel
        wide = 16 * features
        self.fc = nn.Conv2d(inputs, wide, 3, 1, 1)
        self.head_0 = SPADEBlock(wide, wide, inputs, hidden, norm)
        self.G_middle_0 = SPADEBlock(wide, wide, inputs, hidden, norm)
        self.G_middle_1 = SPADEBlock(wide, wide, inputs, hidden, norm)
        last = 5 if ups == 7 else 4
        widths = [max(wide >> i, 1) for i in range(last + 1)]
        for i in range(last):
            self.add_module(f"up_{i}", SPADEBlock(widths[i], widths[i + 1], inputs, hidden, norm))
        self.conv_img = nn.Conv2d(widths[-1], outputs, 3, 1, 1)
        # The blocks that follow a doubling: always the last four, with more doublings also the earlier ones.
        self.doubled = [f"up_{i}" for i in range(last)] + ["G_middle_0"] * (ups > 4) + ["G_middle_1"] * (ups > 5)

    def forward(self, labels: Tensor) -> Tensor:
        check_size(
            labels, f"spade with {self.multiple.bit_length() - 1} ups", multiple=self.multiple, minimum=self.minimum
        )
        # Each block takes the nearest label too. Every n-th pixel is the same, with a size that does not vary.
        hidden = self.fc(labels[:, :, :: self.multiple, :: self.multiple])
        for name, block in self.named_children():
            if not isinstance(block, SPADEBlock):
                continue
            if name in self.doubled:
                hidden = F.interpolate(hidden, scale_factor=2.0, mode="nearest")
            hidden = block(hidden, labels)
        return torch.tanh(cast(Tensor, self.conv_img(F.leaky_relu(hidden, 0.2))))
