"""A small residual super-resolution network, trained with linear branches and folded into plain convolutions."""

from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from img2img.networks.collapsible import CollapsibleConv
from img2img.networks.compact import activated

QUIET = 0.1
"""Factor on the initial weights of the last convolution of each block, so that a sum of blocks does not explode."""


class Residual(nn.Module):
    """Short residual blocks of plain 3x3 convolutions at low resolution, then a pixel shuffle.

    An activation precedes every convolution of a block. So a block ends with a convolution and its skip, which
    onnxruntime runs as one operator. A 1x1 convolution combines the outputs of all blocks, a long skip adds the
    features of the first convolution, and the nearest-upscaled input is added to the result.

    Args:
        scale: upscaling factor, >= 1.
        features: channels of every hidden layer.
        blocks: residual blocks.
        convs: convolutions in each block.
        channels: channels of the picture, in and out.
        activation: as for `compact.activated`.

    Input `[N, channels, H, W]`, RGB 0..1; output `[N, channels, H * scale, W * scale]`, not clamped.
    """

    def __init__(
        self,
        scale: int = 4,
        features: int = 32,
        blocks: int = 4,
        convs: int = 3,
        channels: int = 3,
        activation: str = "silu",
    ) -> None:
        super().__init__()
        self.scale = scale
        self.first = self._conv(channels, features)
        self.blocks = nn.ModuleList()
        for _ in range(blocks):
            layers: list[nn.Module] = []
            for _ in range(convs):
                layers += [activated(activation, features), self._conv(features, features)]
            self.blocks.append(nn.Sequential(*layers))
        self.combine = nn.Conv2d(blocks * features, features, 1)
        self.activation = activated(activation, features)
        self.last = nn.Conv2d(features, channels * scale * scale, 3, 1, 1)

    def _conv(self, inputs: int, outputs: int) -> nn.Module:
        return nn.Conv2d(inputs, outputs, 3, 1, 1)

    def forward(self, image: Tensor) -> Tensor:
        shallow = hidden = self.first(image)
        outputs = []
        for block in self.blocks:
            hidden = hidden + block(hidden)
            outputs.append(hidden)
        combined = shallow + self.combine(torch.cat(outputs, 1))
        residual = F.pixel_shuffle(self.last(self.activation(combined)), self.scale)
        return residual + F.interpolate(image, scale_factor=float(self.scale), mode="nearest")


class CollapsibleResidual(Residual):
    """`Residual` with its 3x3 convolutions, except the last, as `CollapsibleConv`; `folded()` gives the plain network.

    Training starts from nearest upscaling, not from noise.

    Args:
        scale, features, blocks, convs, channels, activation: as for `Residual`.
        expand: channels of the widened branch.

    Input and output as for `Residual`.
    """

    def __init__(
        self,
        scale: int = 4,
        features: int = 32,
        blocks: int = 4,
        convs: int = 3,
        channels: int = 3,
        expand: int = 128,
        activation: str = "silu",
    ) -> None:
        self.expand = expand
        super().__init__(scale, features, blocks, convs, channels, activation)
        self.options: dict[str, Any] = {
            "scale": scale,
            "features": features,
            "blocks": blocks,
            "convs": convs,
            "channels": channels,
            "activation": activation,
        }
        self._start_quiet()

    def _conv(self, inputs: int, outputs: int) -> nn.Module:
        return CollapsibleConv(inputs, outputs, self.expand)

    @torch.no_grad()
    def _start_quiet(self) -> None:
        assert self.last.bias is not None
        self.last.weight.mul_(QUIET)
        self.last.bias.zero_()
        for block in self.blocks:
            assert isinstance(block, nn.Sequential) and isinstance(block[-1], CollapsibleConv)
            end = block[-1]
            end.direct.weight.copy_(end.direct_for(QUIET * end.kernel()[0]))

    @torch.no_grad()
    def folded(self) -> Residual:
        """The same function as a `Residual` network."""
        plain = Residual(**self.options)
        state = self.state_dict()
        for name, layer in self.named_modules():
            if isinstance(layer, CollapsibleConv):
                state = {key: value for key, value in state.items() if not key.startswith(f"{name}.")}
                state[f"{name}.weight"], state[f"{name}.bias"] = layer.kernel()
        plain.load_state_dict(state)
        return plain.to(next(self.parameters()).device).train(self.training)
