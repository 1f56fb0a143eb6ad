"""Doubling the size of a feature map: by a transposed convolution, or by resizing and then convolving."""

from torch import Tensor, nn
from torch.nn import functional as F

from img2img.errors import ConfigError

WAYS = ("transpose", "resize")


class ResizeConv2d(nn.Conv2d):
    """Nearest resize by 2, reflection padding, 3x3 convolution: `[N, inputs, H, W]` to `[N, outputs, 2H, 2W]`.

    Every output pixel sees equally many inputs, so there is no checkerboard (Odena et al. 2016, "Deconvolution and
    Checkerboard Artifacts"). A convolution itself, with the keys `weight` and `bias` of the transposed one that it
    stands for.
    """

    def __init__(self, inputs: int, outputs: int, *, bias: bool = True) -> None:
        super().__init__(inputs, outputs, 3, bias=bias)

    def forward(self, hidden: Tensor) -> Tensor:
        larger = F.interpolate(hidden, scale_factor=2.0, mode="nearest")
        return super().forward(F.pad(larger, (1, 1, 1, 1), mode="reflect"))


def upsampling(way: str, inputs: int, outputs: int, *, kernel: int = 4, bias: bool = True) -> nn.Module:
    """One layer from `[N, inputs, H, W]` to `[N, outputs, 2H, 2W]`.

    Args:
        way: "transpose": the transposed convolution with stride 2 of the published networks; "resize":
            `ResizeConv2d`.
        kernel: side of the transposed convolution's kernel, 3 or 4.

    Raises:
        ConfigError: there is no such way.
    """
    if way == "transpose":
        return nn.ConvTranspose2d(inputs, outputs, kernel, 2, 1, output_padding=kernel % 2, bias=bias)
    if way == "resize":
        return ResizeConv2d(inputs, outputs, bias=bias)
    raise ConfigError(f"unknown upsampling '{way}'; there are {', '.join(WAYS)}")
