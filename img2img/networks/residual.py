"""A small residual super-resolution network that trains with linear branches and folds into plain convolutions."""

from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from img2img.networks import grow_residual
from img2img.networks.collapsible import CollapsibleConv, fold_state, shapes, with_branches
from img2img.networks.compact import activation_layer
from img2img.networks.sizes import check_size

BLOCK_SCALE = 0.1
"""Factor applied to the initial weights of the last convolution of each block. Keeps a sum of blocks from exploding."""

GAIN = 16.0
"""Factor applied to the picture in training. SiLU is nearly linear around 0, so features of pictures in 0..1 hardly use
it: an x4 network with 32 features is 0.13 dB behind after 1,500 steps. With 64, networks learn a little more slowly."""

MIDDLE = 0.5
"""Subtracted from the picture at scale 1: after 450 steps, a network that removes noise is 2 dB behind without it."""


class Residual(nn.Module):
    """Short residual blocks of plain 3x3 convolutions at low resolution, then a pixel shuffle.

    Scale 1 restores a picture without enlarging it. The network then works at half resolution: a pixel unshuffle turns
    2x2 pixels, less `MIDDLE`, into one with four times the channels (as in FFDNet, Zhang et al. 2018, section III-A).
    The same blocks cost a quarter and see twice as far.

    In a block, an activation precedes every convolution. A block therefore ends with a convolution and its skip, which
    onnxruntime runs as one operator. A 1x1 convolution combines the outputs of all blocks, a long skip adds the
    features of the first convolution, and the result is added to the nearest-upscaled input.

    Args:
        scale: upscaling factor, >= 1.
        features: channels of every hidden layer.
        blocks: residual blocks.
        convs: convolutions in each block.
        channels: channels of the picture, in and out.
        activation: see `compact.activation_layer`.

    Input `[N, channels, H, W]`, RGB 0..1; output `[N, channels, H * scale, W * scale]`, not clamped. At scale 1, H and
    W are even.

    Raises:
        ValueError: from `forward`, H or W is odd at scale 1.
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
        self.multiple = 2 if scale == 1 else 1
        self.first = self._conv(channels * self.multiple**2, features)
        self.blocks = nn.ModuleList()
        for _ in range(blocks):
            layers: list[nn.Module] = []
            for _ in range(convs):
                layers += [activation_layer(activation, features), self._conv(features, features)]
            self.blocks.append(nn.Sequential(*layers))
        self.combine = nn.Conv2d(blocks * features, features, 1)
        self.activation = activation_layer(activation, features)
        self.last = nn.Conv2d(features, channels * (scale * self.multiple) ** 2, 3, 1, 1)

    def _conv(self, inputs: int, outputs: int) -> nn.Module:
        return nn.Conv2d(inputs, outputs, 3, 1, 1)

    def forward(self, image: Tensor) -> Tensor:
        check_size(image, "residual", multiple=self.multiple)
        shallow = hidden = self._shallow(image)
        outputs = []
        for block in self.blocks:
            hidden = hidden + block(hidden)
            outputs.append(hidden)
        combined = shallow + self.combine(torch.cat(outputs, 1))
        residual = F.pixel_shuffle(self._detail(self.activation(combined)), self.scale * self.multiple)
        if self.scale > 1:
            image = F.interpolate(image, scale_factor=float(self.scale), mode="nearest")
        return residual + image

    def _shallow(self, image: Tensor) -> Tensor:
        features: Tensor = self.first(self._seen(image))
        return features

    def _seen(self, image: Tensor) -> Tensor:
        return F.pixel_unshuffle(image - MIDDLE, 2) if self.scale == 1 else image

    def _detail(self, features: Tensor) -> Tensor:
        detail: Tensor = self.last(features)
        return detail


class CollapsibleResidual(Residual):
    """`Residual` whose 3x3 convolutions, except the last, are `CollapsibleConv`. `folded()` returns the plain network.

    Training starts from nearest upscaling instead of noise, and at scale 1 from the picture itself. The features are
    computed from `GAIN` times the picture. `folded` moves the factor into the first and the last convolution.

    Args:
        scale, features, blocks, convs, channels, activation: see `Residual`.
        expand: channels of the widened branch.

    Input and output: see `Residual`.
    """

    gain: Tensor

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
        # In the state dict, so that weights that were trained with another gain are recognised.
        self.register_buffer("gain", torch.tensor(GAIN))
        self._scale_down_start()

    def _seen(self, image: Tensor) -> Tensor:
        return super()._seen(image) * self.gain

    def _detail(self, features: Tensor) -> Tensor:
        return super()._detail(features) / self.gain

    def _conv(self, inputs: int, outputs: int) -> nn.Module:
        return CollapsibleConv(inputs, outputs, self.expand)

    @torch.no_grad()
    def _scale_down_start(self) -> None:
        assert self.last.bias is not None
        self.last.weight.mul_(BLOCK_SCALE)
        self.last.bias.zero_()
        for block in self.blocks:
            assert isinstance(block, nn.Sequential) and isinstance(block[-1], CollapsibleConv)
            end = block[-1]
            end.direct.weight.copy_(end.direct_for(BLOCK_SCALE * end.kernel()[0]))

    @torch.no_grad()
    def folded(self) -> Residual:
        """Return the same function as a `Residual` network."""
        plain = Residual(**self.options)
        state = self.state_dict()
        for name, layer in self.named_modules():
            if isinstance(layer, CollapsibleConv):
                state = {key: value for key, value in state.items() if not key.startswith(f"{name}.")}
                state[f"{name}.weight"], state[f"{name}.bias"] = layer.kernel()
        plain.load_state_dict(_with_gain(state, state.pop("gain"), 1.0))
        return plain.to(next(self.parameters()).device).train(self.training)

    def initial_state_from(self, state: Mapping[str, Tensor]) -> tuple[dict[str, Tensor], str] | None:
        """Weights for the same function as a `Residual` network: folded, with branches of another width, or smaller.

        The widened branches keep their weights, and the plain kernels make up for them. From a network for another
        scale, all but the last convolution is taken. Between scale 1 and others, the first convolution is converted
        as well: it then sees the mean of 2x2 pixels, or each pixel four times. None: `state` can be loaded as it is,
        or is another network.

        Raises:
            CheckpointError: see `grow_residual.grow_weights`.
        """
        own = self.state_dict()
        plain, expected = fold_state(state), fold_state(own)
        gain = plain.pop("gain", torch.ones(()))
        expected.pop("gain")
        if shapes(state) == shapes(own) or (plain.keys() != expected.keys() and grow_residual.size_of(plain) is None):
            return None
        plain = _with_gain(plain, gain, float(self.gain))
        same_scale = len(plain["last.weight"]) == len(expected["last.weight"])
        if same_scale and (grown := grow_residual.grow_weights(plain, expected)) is not None:
            return with_branches(self, grown[0]), grown[1]
        how = "branches restored"
        first = _first_for(plain["first.weight"], expected["first.weight"].shape[1])
        if first is not None or plain["last.weight"].shape != expected["last.weight"].shape:
            how = "all but the last convolution, which is for another scale"
            plain |= {key: own[key] for key in ("last.weight", "last.bias")}
        if first is not None:
            shift = MIDDLE * float(self.gain) * first.sum((1, 2, 3))
            plain["first.bias"] = plain["first.bias"] + (shift if self.scale == 1 else -shift)
            plain["first.weight"] = first
        if shapes(plain) != shapes(expected):
            return None
        return with_branches(self, plain), how


def _with_gain(state: Mapping[str, Tensor], old: Tensor, new: float) -> dict[str, Tensor]:
    """Convert the plain weights `state` from a network with the gain `old` to one with the gain `new`."""
    factor = old / new
    scaled = {name: state[name] / factor for name in ("last.weight", "last.bias")}
    return {**state, "first.weight": state["first.weight"] * factor, **scaled}


def _first_for(weight: Tensor, inputs: int) -> Tensor | None:
    """Convert the first kernel `[features, channels, 3, 3]` of another scale to `inputs` channels.

    None: it needs no conversion, or is not of another scale. `F.pixel_unshuffle` puts the four pixels of a channel next
    to each other.
    """
    if inputs == 4 * weight.shape[1]:
        return weight.repeat_interleave(4, 1) / 4
    if weight.shape[1] == 4 * inputs:
        return weight.reshape(len(weight), inputs, 4, 3, 3).sum(2)
    return None
