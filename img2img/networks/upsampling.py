"""Layers that double the size of a feature map: a transposed convolution, or a resize followed by a convolution."""

from torch import Tensor, nn
from torch.nn import functional as F

from img2img.errors import ConfigError

MODES = ("transpose", "resize")


class ResizeConv2d(nn.Conv2d):
    """Nearest resize by 2, reflection padding, 3x3 convolution: `[N, inputs, H, W]` to `[N, outputs, 2H, 2W]`.

    Every output pixel sees the same number of inputs, so there are no checkerboard artifacts (Odena et al. 2016,
    "Deconvolution and Checkerboard Artifacts"). It is itself a convolution, so its keys `weight` and `bias` are those
    of the transposed convolution that it replaces.
    """

    def __init__(self, inputs: int, outputs: int, *, bias: bool = True) -> None:
        super().__init__(inputs, outputs, 3, bias=bias)

    def forward(self, hidden: Tensor) -> Tensor:
        larger = F.interpolate(hidden, scale_factor=2.0, mode="nearest")
        return super().forward(F.pad(larger, (1, 1, 1, 1), mode="reflect"))


def upsampling_layer(mode: str, inputs: int, outputs: int, *, kernel: int = 4, bias: bool = True) -> nn.Module:
    """Build a layer from `[N, inputs, H, W]` to `[N, outputs, 2H, 2W]`.

    Args:
        mode: "transpose", the transposed convolution with stride 2 of the published networks, or "resize",
            `ResizeConv2d`.
        kernel: side of the transposed convolution's kernel, 3 or 4.

    Raises:
        ConfigError: the mode is unknown.
    """
    if mode == "transpose":
        return nn.ConvTranspose2d(inputs, outputs, kernel, 2, 1, output_padding=kernel % 2, bias=bias)
    if mode == "resize":
        return ResizeConv2d(inputs, outputs, bias=bias)
    raise ConfigError(f"unknown upsampling '{mode}'; choose from {', '.join(MODES)}")
