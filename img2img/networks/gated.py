"""Free-form inpainting in two stages, coarse to fine, with gated convolutions and contextual attention."""

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from img2img.errors import ConfigError
from img2img.networks.contextual_attention import ContextualAttention
from img2img.networks.sizes import check_size


class GatedGenerator(nn.Module):
    """A coarse network fills the hole. A second network refines the result on two branches.

    Yu et al. 2019 (Free-form image inpainting with gated convolution), sections 3.1 and 3.2 and figure 3. One branch
    has dilated convolutions, the other contextual attention; the decoder joins them. The layout is that of the PyTorch
    port (repository nipponjo/deepfillv2-pytorch, `networks.py`) with the converted official weights.

    The constructor initialises as that code does: Kaiming-uniform by fan-out, zero biases. The two layers that output
    the picture keep torch's default weights.

    Args:
        features: channels of the first layer before the gate takes half of them; a multiple of 4.
        channels: channels of the picture.
        attention: whether to include the attention branch. Without it the layout differs from the published one, the
            network is faster, and its memory grows with the picture's area instead of the area squared.

    Attributes:
        multiple, minimum: constraints on H and W; 8 with attention, 4 without.

    Raises:
        ConfigError: `features` is not a multiple of 4.
    """

    def __init__(self, features: int = 48, channels: int = 3, attention: bool = True) -> None:
        super().__init__()
        if features % 4 or features < 4:
            raise ConfigError(f"gated: features = {features} must be a multiple of 4")
        self.multiple = self.minimum = 8 if attention else 4
        self.stage1 = Coarse(channels + 2, features, channels)
        self.stage2 = Refinement(features, channels, attention)

    def forward(self, image: Tensor, mask: Tensor) -> tuple[Tensor, Tensor]:
        """Fill the hole.

        Args:
            image: `[N, channels, H, W]`, -1..1; pixels in the hole are ignored.
            mask: `[N, 1, H, W]`, 1 = fill, 0 = keep.

        Returns:
            The coarse and the refined picture, each `[N, channels, H, W]`, -1..1. Both are whole pictures, because
            the losses need them; the caller pastes the known pixels back.

        Raises:
            ValueError: H or W is not a multiple of `multiple`; the message names the size to pad to.
        """
        check_size(image, "gated", multiple=self.multiple)
        return self.fill(torch.cat((image * (1 - mask), torch.ones_like(mask), mask), 1), mask)

    def fill(self, masked: Tensor, mask: Tensor) -> tuple[Tensor, Tensor]:
        """Like `forward`, but takes the published input `[N, channels + 2, H, W]`: masked picture, ones, mask."""
        coarse: Tensor = self.stage1(masked)
        refined: Tensor = self.stage2(coarse * mask + masked[:, :-2] * (1 - mask), mask)
        return coarse, refined


class GatedConv(nn.Module):
    """A convolution with gating: half of its outputs gate the other half. Yu et al. 2019, section 3.1, equation 3.

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
    """The last convolution: tanh, without a gate. `[N, inputs, H, W]` to `[N, channels, H, W]`, -1..1."""

    def __init__(self, inputs: int, channels: int) -> None:
        super().__init__()
        self.conv = nn.Conv2d(inputs, channels, 3, 1, 1)
        nn.init.zeros_(self.conv.bias)  # type: ignore[arg-type]

    def forward(self, hidden: Tensor) -> Tensor:
        return torch.tanh(self.conv(hidden))


class Down(nn.Module):
    """A strided gated convolution that halves the size, then another gated convolution."""

    def __init__(self, inputs: int, between: int, outputs: int) -> None:
        super().__init__()
        self.conv1_downsample = GatedConv(inputs, between, stride=2)
        self.conv2 = GatedConv(between, outputs)

    def forward(self, hidden: Tensor) -> Tensor:
        result: Tensor = self.conv2(self.conv1_downsample(hidden))
        return result


class UpscaleConv(nn.Module):
    """Nearest upscaling by 2, then a gated convolution. Avoids checkerboard artifacts."""

    def __init__(self, inputs: int, outputs: int) -> None:
        super().__init__()
        self.conv = GatedConv(inputs, outputs)

    def forward(self, hidden: Tensor) -> Tensor:
        result: Tensor = self.conv(F.interpolate(hidden, scale_factor=2.0, mode="nearest"))
        return result


class Up(nn.Module):
    """Doubles the size, then applies another gated convolution."""

    def __init__(self, inputs: int, between: int, outputs: int) -> None:
        super().__init__()
        self.conv1_upsample = UpscaleConv(inputs, between)
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
    """Second stage: refines `[N, channels, H, W]`, which has the coarse result in the hole."""

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
