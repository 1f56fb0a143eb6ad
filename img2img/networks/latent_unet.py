"""The U-Net of BicycleGAN: a code is an input of every level."""

from typing import cast

import torch
from torch import Tensor, nn

from img2img.errors import ConfigError
from img2img.networks.norms import needs_bias, norm_layer
from img2img.networks.planes import append_planes
from img2img.networks.sizes import check_size
from img2img.networks.upsampling import upsampling_layer


class LatentLevel(nn.Module):
    """One halving, the levels below it, and one doubling. Features and code go in, features come out.

    The code becomes constant planes beside the features. `[N, inputs, H, W]` to `[N, outputs, H, W]`, and with `skip`
    to `[N, outputs + inputs, H, W]`: the result, then the input. `submodule` is the next level, or None at the bottom.
    There the encoder has no norm: the map may be a single pixel, which a norm would set to zero.
    """

    def __init__(
        self,
        inputs: int,
        outputs: int,
        inner: int,
        submodule: nn.Module | None,
        *,
        latent: int,
        norm: str,
        upsampling: str,
        skip: bool,
    ) -> None:
        super().__init__()
        bias = needs_bias(norm)
        down: list[nn.Module] = [nn.LeakyReLU(0.2)] if skip else []
        down.append(nn.Conv2d(inputs + latent, inner, 4, 2, 1, bias=bias))
        if skip and submodule is not None:
            down.append(norm_layer(norm, inner))
        wide = inner if submodule is None else 2 * inner
        up = [nn.ReLU(), upsampling_layer(upsampling, wide, outputs, bias=bias or not skip)]
        up.append(norm_layer(norm, outputs) if skip else nn.Tanh())
        self.down = nn.Sequential(*down)
        self.submodule = submodule
        self.up = nn.Sequential(*up)
        self.skip = skip

    def forward(self, features: Tensor, latent: Tensor) -> Tensor:
        hidden = self.down(append_planes(features, latent))
        if self.submodule is not None:
            hidden = self.submodule(hidden, latent)
        result = cast(Tensor, self.up(hidden))
        return torch.cat((result, features), 1) if self.skip else result


class LatentUNet(nn.Module):
    """A U-Net whose every level gets a code beside its features.

    Zhu et al. 2017 (BicycleGAN), section 3.4 and figure 3b, "add_to_all", in the layout of `G_Unet_add_all` (repository
    junyanz/BicycleGAN, `networks.py`), without dropout. Nothing here is random: the caller draws the code.

    Args:
        inputs, outputs: channels of the two pictures.
        latent: length of the code.
        features: channels after the first halving; they double with each one, up to 8 * features.
        downs: halvings, 2 to 10; `UNet.depth` returns how many a size allows. The paper has 8 for 256 px.
        norm: "instance", "batch", "layer" or "none".
        upsampling: "transpose" or "resize".

    Input a picture `[N, inputs, H, W]`, values -1..1, H and W multiples of `2 ** downs`, and a code `[N, latent]`.
    Output `[N, outputs, H, W]`, -1..1.

    Attributes:
        multiple, minimum: constraints on H and W, in pixels.
        latent: length of the code.

    Raises:
        ConfigError: `downs` is out of range, or a norm or upsampling is unknown.
        ValueError: from `forward`, H or W does not fit, or the code has another length.
    """

    def __init__(
        self,
        inputs: int = 3,
        outputs: int = 3,
        latent: int = 8,
        features: int = 64,
        downs: int = 8,
        norm: str = "instance",
        upsampling: str = "transpose",
    ) -> None:
        super().__init__()
        if not 2 <= downs <= 10:
            raise ConfigError(f"latent-unet: downs = {downs} must be between 2 and 10")
        self.latent = latent
        self.multiple = self.minimum = 2**downs
        widths = [features * min(2**i, 8) for i in range(downs)]
        level: nn.Module | None = None
        for i in reversed(range(downs)):
            outer_in, outer_out = (widths[i - 1], widths[i - 1]) if i else (inputs, outputs)
            level = LatentLevel(
                outer_in, outer_out, widths[i], level, latent=latent, norm=norm, upsampling=upsampling, skip=i > 0
            )
        assert level is not None
        self.model = level

    def forward(self, image: Tensor, latent: Tensor) -> Tensor:
        check_size(image, f"latent-unet with {self.multiple.bit_length() - 1} downs", multiple=self.multiple)
        if latent.shape[1] != self.latent:
            raise ValueError(f"the latent code must have {self.latent} numbers, not {latent.shape[1]}")
        result: Tensor = self.model(image, latent)
        return result
