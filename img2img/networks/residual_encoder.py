"""The encoder of BicycleGAN: a picture becomes the distribution of its code."""

from itertools import pairwise

from torch import Tensor, nn

from img2img.errors import ConfigError
from img2img.networks.norms import norm_layer
from img2img.networks.sizes import check_size


class HalvingBlock(nn.Module):
    """A residual block with norm and activation first. Mean pooling halves the map: `[N, inputs, 2h, 2w]` to
    `[N, outputs, h, w]`.
    """

    def __init__(self, inputs: int, outputs: int, norm: str) -> None:
        super().__init__()
        self.conv = nn.Sequential(
            norm_layer(norm, inputs),
            nn.LeakyReLU(0.2),
            nn.Conv2d(inputs, inputs, 3, 1, 1),
            norm_layer(norm, inputs),
            nn.LeakyReLU(0.2),
            nn.Sequential(nn.Conv2d(inputs, outputs, 3, 1, 1), nn.AvgPool2d(2)),
        )
        self.shortcut = nn.Sequential(nn.AvgPool2d(2), nn.Conv2d(inputs, outputs, 1))

    def forward(self, features: Tensor) -> Tensor:
        result: Tensor = self.conv(features) + self.shortcut(features)
        return result


class ResidualEncoder(nn.Module):
    """Encodes a picture as a normal distribution with a diagonal covariance.

    Zhu et al. 2017 (BicycleGAN), appendix, in the layout of `E_ResNet` (repository junyanz/BicycleGAN, `networks.py`).
    The official code pools the last map, 8x8 for 256 px; here all of it is pooled, so that pictures may have any size.

    Args:
        inputs: channels of the picture.
        latent: length of the code.
        features: channels after the first halving. Block n has n + 1 times as many, at most 4 times.
        blocks: residual blocks, each with one halving. The official code has 4 for 256 px and 3 for 128 px.
        norm: "instance", "batch", "layer" or "none".

    Input `[N, inputs, H, W]`, values -1..1, H and W multiples of `multiple`. Output the mean and the logarithm of the
    variance, `[N, latent]` each.

    Attributes:
        multiple, minimum: constraints on H and W, in pixels.

    Raises:
        ConfigError: `blocks` is out of range, or the norm is unknown.
        ValueError: from `forward`, H or W does not fit.
    """

    def __init__(
        self, inputs: int = 3, latent: int = 8, features: int = 64, blocks: int = 4, norm: str = "instance"
    ) -> None:
        super().__init__()
        if not 1 <= blocks <= 8:
            raise ConfigError(f"residual-encoder: blocks = {blocks} must be between 1 and 8")
        self.multiple = self.minimum = 2 ** (blocks + 1)
        widths = [features * min(n + 1, 4) for n in range(blocks + 1)]
        layers: list[nn.Module] = [nn.Conv2d(inputs, features, 4, 2, 1)]
        layers += [HalvingBlock(wide, wider, norm) for wide, wider in pairwise(widths)]
        self.conv = nn.Sequential(*layers, nn.LeakyReLU(0.2))
        self.fc = nn.Sequential(nn.Linear(widths[-1], latent))
        self.fcVar = nn.Sequential(nn.Linear(widths[-1], latent))  # named as in the official layout

    def forward(self, image: Tensor) -> tuple[Tensor, Tensor]:
        check_size(image, "residual-encoder", multiple=self.multiple)
        features = self.conv(image).mean((2, 3))
        return self.fc(features), self.fcVar(features)
