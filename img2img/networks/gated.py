"""Free-form inpainting in two stages: gated convolutions, coarse to fine, with contextual attention."""

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from img2img.errors import ConfigError
from img2img.networks.contextual_attention import ContextualAttention
from img2img.networks.sizes import check_size


class GatedGenerator(nn.Module):
    """A coarse network fills the hole; a second one, fed with that, refines it on two branches.

    Yu et al. 2019 (Free-form image inpainting with gated convolution), sections 3.1 and 3.2 and figure 3: one branch of
    dilated convolutions, one with contextual attention, joined before the decoder. The layout of the PyTorch port
    (repository nipponjo/deepfillv2-pytorch, `networks.py`) into which the official weights were converted.

    The constructor initialises as that code does: Kaiming-uniform over the outputs, zero biases; the two layers that
    give the picture keep torch's own weights.

    Args:
        features: channels of the first layer before the gate takes half of them; a multiple of 4.
        channels: channels of the picture.
        attention: with the attention branch. Without it the layout is no longer the published one, the network takes
            less time, and its memory grows with the picture's area, not with the square of it.

    Attributes:
        multiple, minimum: of H and W; 8 with attention, 4 without.

    Raises:
        ConfigError: `features` is no multiple of 4.
    """

    def __init__(self, features: int = 48, channels: int = 3, attention: bool = True) -> None:
        super().__init__()
        if features % 4 or features < 4:
            raise ConfigError(f"gated needs a number of features that is a multiple of 4, not {features}")
        self.multiple = self.minimum = 8 if attention else 4
        self.stage1 = Coarse(channels + 2, features, channels)
        self.stage2 = Refinement(features, channels, attention)

    def forward(self, image: Tensor, mask: Tensor) -> tuple[Tensor, Tensor]:
        """Fill the hole.

        Args:
            image: `[N, channels, H, W]`, -1..1; what it holds in the hole is not looked at.
            mask: `[N, 1, H, W]`, 1 = fill, 0 = keep.

        Returns:
            The coarse and the refined picture, each `[N, channels, H, W]`, -1..1, whole: pasting the known pixels back
            is left to the caller, for the losses are taken of the whole pictures.

        Raises:
            ValueError: H or W is no multiple of `multiple`; the message names the size to pad to.
        """
        check_size(image, "gated", multiple=self.multiple)
        return self.fill(torch.cat((image * (1 - mask), torch.ones_like(mask), mask), 1), mask)

    def fill(self, masked: Tensor, mask: Tensor) -> tuple[Tensor, Tensor]:
        """As `forward`, of the published input `[N, channels + 2, H, W]`: masked picture, ones, mask."""
        coarse: Tensor = self.stage1(masked)
        refined: Tensor = self.stage2(coarse * mask + masked[:, :-2] * (1 - mask), mask)
        return coarse, refined


class GatedConv(nn.Module):
    """A convolution, half of whose outputs gate the other half. Yu et al. 2019, section 3.1, equation 3.

    `[N, inputs, H, W]` to `[N, outputs, H / stride, W / stride]`.
    """

    def __init__(
        self, inputs: int, outputs: int, kernel: int = 3, stride: int = 1, dilation: int = 1, relu: bool = False
    ) -> None:
        super().__init__()
        self.relu = relu
        padding = dilation * (kernel - 1) // 2
        self.conv = nn.Conv2d(inputs, 2 * outputs, kernel, stride, padding, dilation)
        _initialise(self.conv)

    def forward(self, hidden: Tensor) -> Tensor:
        value, gate = self.conv(hidden).chunk(2, 1)
        return (F.relu(value) if self.relu else F.elu(value)) * torch.sigmoid(gate)


class ToPicture(nn.Module):
    """The last convolution: no gate, tanh. `[N, inputs, H, W]` to `[N, channels, H, W]`, -1..1."""

    def __init__(self, inputs: int, channels: int) -> None:
        super().__init__()
        self.conv = nn.Conv2d(inputs, channels, 3, 1, 1)
        nn.init.zeros_(self.conv.bias)  # type: ignore[arg-type]

    def forward(self, hidden: Tensor) -> Tensor:
        return torch.tanh(self.conv(hidden))


class Down(nn.Module):
    """Half the size by a strided gated convolution, and one more."""

    def __init__(self, inputs: int, between: int, outputs: int) -> None:
        super().__init__()
        self.conv1_downsample = GatedConv(inputs, between, stride=2)
        self.conv2 = GatedConv(between, outputs)

    def forward(self, hidden: Tensor) -> Tensor:
        result: Tensor = self.conv2(self.conv1_downsample(hidden))
        return result


class Upscaled(nn.Module):
    """Nearest upscaling by 2, then a gated convolution: no checkerboard by construction."""

    def __init__(self, inputs: int, outputs: int) -> None:
        super().__init__()
        self.conv = GatedConv(inputs, outputs)

    def forward(self, hidden: Tensor) -> Tensor:
        result: Tensor = self.conv(F.interpolate(hidden, scale_factor=2.0, mode="nearest"))
        return result


class Up(nn.Module):
    """Twice the size, and one more gated convolution."""

    def __init__(self, inputs: int, between: int, outputs: int) -> None:
        super().__init__()
        self.conv1_upsample = Upscaled(inputs, between)
        self.conv2 = GatedConv(between, outputs)

    def forward(self, hidden: Tensor) -> Tensor:
        result: Tensor = self.conv2(self.conv1_upsample(hidden))
        return result


class Coarse(nn.Sequential):
    """First stage: encoder, dilated convolutions, decoder. `[N, inputs, H, W]` to `[N, channels, H, W]`, -1..1."""

    def __init__(self, inputs: int, features: int, channels: int) -> None:
        super().__init__()
        wide = 2 * features
        self.conv1 = GatedConv(inputs, features // 2, 5)
        self.down_block1 = Down(features // 2, features, features)
        self.down_block2 = Down(features, wide, wide)
        for i, dilation in enumerate((1, 2, 4, 8, 16, 1, 1), start=1):
            self.add_module(f"conv_bn{i}", GatedConv(wide, wide, dilation=dilation))
        self.up_block1 = Up(wide, features, features)
        self.up_block2 = Up(features, features // 2, features // 4)
        self.conv_to_rgb = ToPicture(features // 4, channels)


class Refinement(nn.Module):
    """Second stage: `[N, channels, H, W]`, the coarse result in the hole, to the same, refined."""

    def __init__(self, features: int, channels: int, attention: bool) -> None:
        super().__init__()
        wide = 2 * features
        self.attention = attention
        self.conv_conv1 = GatedConv(channels, features // 2, 5)
        self.conv_down_block1 = Down(features // 2, features // 2, features)
        self.conv_down_block2 = Down(features, features, wide)
        for i, dilation in enumerate((1, 2, 4, 8, 16), start=1):
            self.add_module(f"conv_conv_bn{i}", GatedConv(wide, wide, dilation=dilation))
        if attention:
            self.ca_conv1 = GatedConv(channels, features // 2, 5)
            self.ca_down_block1 = Down(features // 2, features // 2, features)
            self.ca_down_block2 = Down(features, wide, wide)
            self.ca_conv_bn1 = GatedConv(wide, wide, relu=True)
            self.contextual_attention = ContextualAttention()
            self.ca_conv_bn4 = GatedConv(wide, wide)
            self.ca_conv_bn5 = GatedConv(wide, wide)
        self.conv_bn6 = GatedConv(2 * wide if attention else wide, wide)
        self.conv_bn7 = GatedConv(wide, wide)
        self.up_block1 = Up(wide, features, features)
        self.up_block2 = Up(features, features // 2, features // 4)
        self.conv_to_rgb = ToPicture(features // 4, channels)

    def forward(self, image: Tensor, mask: Tensor) -> Tensor:
        hidden = image
        for name, layer in self.named_children():
            if name.startswith(("conv_conv", "conv_down")):  # the dilated branch
                hidden = layer(hidden)
        if self.attention:
            attended = self.ca_down_block2(self.ca_down_block1(self.ca_conv1(image)))
            attended = self.contextual_attention(self.ca_conv_bn1(attended), mask)
            hidden = torch.cat((hidden, self.ca_conv_bn5(self.ca_conv_bn4(attended))), 1)
        hidden = self.conv_bn7(self.conv_bn6(hidden))
        result: Tensor = self.conv_to_rgb(self.up_block2(self.up_block1(hidden)))
        return result


def _initialise(convolution: nn.Conv2d) -> None:
    nn.init.kaiming_uniform_(convolution.weight, mode="fan_out", nonlinearity="relu")
    assert convolution.bias is not None
    nn.init.zeros_(convolution.bias)
