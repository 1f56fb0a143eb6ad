"""The compact super-resolution network of Real-ESRGAN ("SRVGG"). Every convolution runs at low resolution."""

from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from img2img.errors import ConfigError
from img2img.networks import grow


class Compact(nn.Module):
    """Plain 3x3 convolutions with PReLU and a pixel shuffle. The result is added to the nearest-upscaled input.

    Layout and behaviour of `SRVGGNetCompact` (Real-ESRGAN, Wang et al. 2021, repository XPixelGroup/BasicSR,
    `srvgg_arch.py`), so that published checkpoints load: keys `body.N.weight|bias`.

    Args:
        scale: upscaling factor, >= 1.
        features: channels of every hidden layer.
        convs: hidden convolutions between the first and the last one.
        channels: channels of the picture, in and out.
        activation: see `activation_layer`; the published networks have PReLU.

    Input `[N, channels, H, W]`, RGB 0..1; output `[N, channels, H * scale, W * scale]`, not clamped.
    """

    def __init__(
        self, scale: int = 4, features: int = 64, convs: int = 16, channels: int = 3, activation: str = "prelu"
    ) -> None:
        super().__init__()
        self.options: dict[str, Any] = {
            "scale": scale,
            "features": features,
            "convs": convs,
            "channels": channels,
            "activation": activation,
        }
        self.scale = scale
        self.body = nn.ModuleList([nn.Conv2d(channels, features, 3, 1, 1), activation_layer(activation, features)])
        for _ in range(convs):
            self.body.extend([nn.Conv2d(features, features, 3, 1, 1), activation_layer(activation, features)])
        self.body.append(nn.Conv2d(features, channels * scale * scale, 3, 1, 1))

    def forward(self, image: Tensor) -> Tensor:
        hidden = image
        for layer in self.body:
            hidden = layer(hidden)
        residual = F.pixel_shuffle(hidden, self.scale)
        return residual + F.interpolate(image, scale_factor=float(self.scale), mode="nearest")

    def initial_state_from(self, state: Mapping[str, Tensor]) -> tuple[dict[str, Tensor], str] | None:
        """Return weights that make this network compute what the network of `state` does, and describe the growth.

        That network must not be larger than this one. The description is empty if nothing grew. New weights are random.
        Returns None if `state` does not belong to a `Compact`.

        Raises:
            CheckpointError: `state` belongs to a larger network, or to one with another scale or other picture
                channels.
        """
        return None if grow.size_of(state) is None else grow.grow_weights(state, Compact(**self.options).state_dict())


def activation_layer(name: str, features: int) -> nn.Module:
    """Build the activation called `name`: "prelu" with one slope per channel, "silu" or "relu".

    Raises:
        ConfigError: the activation is unknown.
    """
    if name == "prelu":
        return nn.PReLU(features)
    if name == "silu":
        return nn.SiLU()
    if name == "relu":
        return nn.ReLU()
    raise ConfigError(f"unknown activation '{name}'; choose from prelu, silu, relu")


@torch.no_grad()
def start_as_nearest(network: Compact) -> None:
    """Make the last convolution tiny, so that training starts from nearest upscaling instead of noise."""
    last = network.body[-1]
    assert isinstance(last, nn.Conv2d) and last.bias is not None
    last.weight.mul_(0.1)
    last.bias.zero_()
