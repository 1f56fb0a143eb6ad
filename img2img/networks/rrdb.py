"""RRDBNet, the generator of ESRGAN and Real-ESRGAN: residual-in-residual dense blocks."""

import re
from collections.abc import Mapping

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from img2img.errors import CheckpointError, ConfigError
from img2img.networks.sizes import check_size


class DenseBlock(nn.Module):
    """Five 3x3 convolutions, each of which sees all previous outputs. The result, scaled by 0.2, is added to the input.

    Wang et al. 2018 (ESRGAN), section 3.1. Keeps the shape `[N, features, H, W]`.
    """

    def __init__(self, features: int, growth: int) -> None:
        super().__init__()
        for i in range(1, 6):
            outputs = features if i == 5 else growth
            self.add_module(f"conv{i}", nn.Conv2d(features + (i - 1) * growth, outputs, 3, 1, 1))
        with torch.no_grad():  # residual branches start small, as in the official code
            for convolution in self.children():
                assert isinstance(convolution, nn.Conv2d) and convolution.bias is not None
                nn.init.kaiming_normal_(convolution.weight).mul_(0.1)
                convolution.bias.zero_()

    def forward(self, hidden: Tensor) -> Tensor:
        *growing, last = self.children()
        seen = hidden
        for convolution in growing:
            seen = torch.cat((seen, F.leaky_relu(convolution(seen), 0.2)), 1)
        result: Tensor = last(seen)
        return hidden + 0.2 * result


class RRDB(nn.Module):
    """Three dense blocks. Their result, scaled by 0.2, is added to the input. Keeps the shape `[N, features, H, W]`."""

    def __init__(self, features: int, growth: int) -> None:
        super().__init__()
        self.rdb1 = DenseBlock(features, growth)
        self.rdb2 = DenseBlock(features, growth)
        self.rdb3 = DenseBlock(features, growth)

    def forward(self, hidden: Tensor) -> Tensor:
        result: Tensor = self.rdb3(self.rdb2(self.rdb1(hidden)))
        return hidden + 0.2 * result


class RRDBNet(nn.Module):
    """RRDBs at low resolution, then two nearest upscalings by 2, each followed by a convolution.

    The layout of Real-ESRGAN's `RRDBNet` (repository XPixelGroup/BasicSR, `rrdbnet_arch.py`). It always upscales its
    working resolution by 4, so scales 2 and 1 work on a pixel-unshuffled input.

    Args:
        scale: 1, 2 or 4.
        features: channels of the trunk.
        blocks: RRDBs. The papers have 23, Real-ESRGAN's anime model 6.
        growth: channels that each convolution of a dense block adds.
        channels: channels of the picture, in and out.

    Input `[N, channels, H, W]`, RGB 0..1, H and W multiples of 4 / scale; output
    `[N, channels, H * scale, W * scale]`, not clamped.

    Raises:
        ConfigError: `scale` is not 1, 2 or 4.
        ValueError: from `forward`, H or W is not a multiple of 4 / scale.
    """

    def __init__(
        self, scale: int = 4, features: int = 64, blocks: int = 23, growth: int = 32, channels: int = 3
    ) -> None:
        super().__init__()
        if scale not in (1, 2, 4):
            raise ConfigError(f"rrdb: scale must be 1, 2 or 4, not {scale}")
        self.scale = scale
        self.multiple = 4 // scale
        self.conv_first = nn.Conv2d(channels * self.multiple**2, features, 3, 1, 1)
        self.body = nn.Sequential(*(RRDB(features, growth) for _ in range(blocks)))
        self.conv_body = nn.Conv2d(features, features, 3, 1, 1)
        self.conv_up1 = nn.Conv2d(features, features, 3, 1, 1)
        self.conv_up2 = nn.Conv2d(features, features, 3, 1, 1)
        self.conv_hr = nn.Conv2d(features, features, 3, 1, 1)
        self.conv_last = nn.Conv2d(features, channels, 3, 1, 1)

    def forward(self, image: Tensor) -> Tensor:
        check_size(image, "rrdb", multiple=self.multiple)
        if self.multiple > 1:
            image = F.pixel_unshuffle(image, self.multiple)
        first = self.conv_first(image)
        hidden = first + self.conv_body(self.body(first))
        for convolution in (self.conv_up1, self.conv_up2):
            hidden = F.leaky_relu(convolution(F.interpolate(hidden, scale_factor=2.0, mode="nearest")), 0.2)
        result: Tensor = self.conv_last(F.leaky_relu(self.conv_hr(hidden), 0.2))
        return result


_NEW_NAMES_2018 = {"trunk_conv": "conv_body", "upconv1": "conv_up1", "upconv2": "conv_up2", "HRconv": "conv_hr"}
_NEW_NAMES_OLDER = {"0": "conv_first", "3": "conv_up1", "6": "conv_up2", "8": "conv_hr", "10": "conv_last"}


def from_esrgan_2018(state: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Convert a state dict of ESRGAN's own code to the layout of `RRDBNet(scale=4)`. Keeps tensors and order.

    Reads two layouts: that of the repository xinntao/ESRGAN (`RRDB_trunk.N.RDBk.convj`, `trunk_conv`, `upconv1`,
    `upconv2`, `HRconv`), and the older one of many community models (`model.1.sub.N.RDBk.convj.0`, the trunk's
    convolution as the last of `model.1.sub`, and `model.0|3|6|8|10`).

    Raises:
        CheckpointError: a key belongs to neither layout, as in models for scales other than 4.
    """
    return {_rename_2018(key): tensor for key, tensor in state.items()}


def _rename_2018(key: str) -> str:
    name, _, kind = key.rpartition(".")
    if block := re.fullmatch(r"(?:RRDB_trunk|model\.1\.sub)\.(\d+)\.RDB([123])\.conv([1-5])(?:\.0)?", name):
        return "body.{}.rdb{}.conv{}.{}".format(*block.groups(), kind)
    if name in ("conv_first", "conv_last"):
        return key
    if name in _NEW_NAMES_2018:
        return f"{_NEW_NAMES_2018[name]}.{kind}"
    if re.fullmatch(r"model\.1\.sub\.\d+", name):
        return f"conv_body.{kind}"
    if name.startswith("model.") and name[6:] in _NEW_NAMES_OLDER:
        return f"{_NEW_NAMES_OLDER[name[6:]]}.{kind}"
    raise CheckpointError(
        f"'{key}' is not a key of a 2018 ESRGAN model for scale 4; check that the file is such a model"
    )
