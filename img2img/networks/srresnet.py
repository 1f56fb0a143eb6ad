"""SRResNet, the generator of SRGAN, with or without batch norm."""

from typing import Literal

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from img2img.errors import ConfigError
from img2img.networks.norms import needs_bias, norm_layer


class ResidualBlock(nn.Module):
    """conv - (batch norm) - activation - conv - (batch norm), added to the input.

    Keeps the shape `[N, features, H, W]`.
    """

    def __init__(self, features: int, *, norm: str, activation: str) -> None:
        super().__init__()
        bias = needs_bias(norm)
        self.conv1 = nn.Conv2d(features, features, 3, 1, 1, bias=bias)
        self.norm1 = norm_layer(norm, features)
        self.activation = nn.PReLU(init=0.2) if activation == "prelu" else nn.ReLU()
        self.conv2 = nn.Conv2d(features, features, 3, 1, 1, bias=bias)
        self.norm2 = norm_layer(norm, features)

    def forward(self, hidden: Tensor) -> Tensor:
        residual: Tensor = self.norm2(self.conv2(self.activation(self.norm1(self.conv1(hidden)))))
        return hidden + residual


class SRResNet(nn.Module):
    """Residual blocks at low resolution, then pixel shuffles. The result is added to the bilinearly upscaled input.

    Ledig et al. 2017, figure 4, in the layout of `MSRResNet` (repository XPixelGroup/BasicSR, `srresnet_arch.py`): no
    batch norm, leaky ReLU around the upsampling, global skip. `norm="batch", activation="prelu"` gives the blocks of
    the paper; the layout outside the blocks does not change.

    Args:
        scale: 2, 3 or 4.
        features: channels of every hidden layer.
        blocks: residual blocks.
        channels: channels of the picture, in and out.
        norm: "none" or "batch", after every convolution of a block (which then has no bias). Eval mode uses running
            statistics; they can leave blotches in pictures unlike the training set (Wang et al. 2018, section 3.1).
        activation: inside the blocks, "relu" or "prelu".

    Input `[N, channels, H, W]`, RGB 0..1; output `[N, channels, H * scale, W * scale]`, not clamped.

    Raises:
        ConfigError: `scale`, `norm` or `activation` has another value.
    """

    def __init__(
        self,
        scale: int = 4,
        features: int = 64,
        blocks: int = 16,
        channels: int = 3,
        norm: Literal["none", "batch"] = "none",
        activation: Literal["relu", "prelu"] = "relu",
    ) -> None:
        super().__init__()
        if scale not in (2, 3, 4):
            raise ConfigError(f"srresnet: scale must be 2, 3 or 4, not {scale}")
        if norm not in ("none", "batch"):
            raise ConfigError(f"srresnet: norm must be 'none' or 'batch', not '{norm}'")
        if activation not in ("relu", "prelu"):
            raise ConfigError(f"srresnet: activation must be 'relu' or 'prelu', not '{activation}'")
        self.scale = scale
        self.conv_first = nn.Conv2d(channels, features, 3, 1, 1)
        self.body = nn.Sequential(*(ResidualBlock(features, norm=norm, activation=activation) for _ in range(blocks)))
        step = 3 if scale == 3 else 2
        self.upconv1 = nn.Conv2d(features, features * step * step, 3, 1, 1)
        if scale == 4:
            self.upconv2 = nn.Conv2d(features, features * 4, 3, 1, 1)
        self.conv_hr = nn.Conv2d(features, features, 3, 1, 1)
        self.conv_last = nn.Conv2d(features, channels, 3, 1, 1)
        self._initialise()

    @torch.no_grad()
    def _initialise(self) -> None:
        # Kaiming scaled by 0.1, as in the official code, so that residual branches start small.
        for module in self.modules():
            if isinstance(module, nn.Conv2d):
                nn.init.kaiming_normal_(module.weight)
                module.weight.mul_(0.1)
                if module.bias is not None:
                    module.bias.zero_()

    def forward(self, image: Tensor) -> Tensor:
        hidden = F.leaky_relu(self.conv_first(image), 0.1)
        hidden = self.body(hidden)
        hidden = F.leaky_relu(F.pixel_shuffle(self.upconv1(hidden), 3 if self.scale == 3 else 2), 0.1)
        if self.scale == 4:
            hidden = F.leaky_relu(F.pixel_shuffle(self.upconv2(hidden), 2), 0.1)
        residual: Tensor = self.conv_last(F.leaky_relu(self.conv_hr(hidden), 0.1))
        return residual + F.interpolate(image, scale_factor=float(self.scale), mode="bilinear", align_corners=False)
