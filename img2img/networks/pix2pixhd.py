"""The global generator of pix2pixHD: a deep residual network for large pictures."""

from torch import Tensor, nn

from img2img.errors import ConfigError
from img2img.networks.norms import biased, normalisation
from img2img.networks.resnet import ResNetBlock
from img2img.networks.sizes import check_size
from img2img.networks.upsampling import upsampling as doubling


class GlobalGenerator(nn.Module):
    """Wang et al. 2018 (pix2pixHD), section 3.1 and appendix, in the layout of `GlobalGenerator` (repository
    NVIDIA/pix2pixHD, `networks.py`): CycleGAN's residual generator with more halvings.

    The official weights start from N(0, 0.02): `initialise(network, "normal", 0.02)`.

    Args:
        inputs, outputs: channels of the two pictures.
        features: channels at full size; they double at each halving.
        downs: halvings; 4 in the paper, 182 million parameters with 64 features.
        blocks: residual blocks at the smallest size.
        norm: "instance", "batch" (the convolutions in front of it then have no bias, the official ones do) or "none".
        upsampling: "transpose" or "resize".

    Input `[N, inputs, H, W]`, values -1..1, H and W multiples of `multiple`, at least `minimum`; output
    `[N, outputs, H, W]`, -1..1.

    Attributes:
        multiple, minimum: of the sides of a picture, in pixels.

    Raises:
        ConfigError: `downs` is below 1, or a word is unknown.
    """

    def __init__(
        self,
        inputs: int = 3,
        outputs: int = 3,
        features: int = 64,
        downs: int = 4,
        blocks: int = 9,
        norm: str = "instance",
        upsampling: str = "transpose",
    ) -> None:
        super().__init__()
        if downs < 1:
            raise ConfigError(f"pix2pixhd needs at least one halving (downs), not {downs}")
        self.multiple = 2**downs
        self.minimum = 2 * self.multiple  # reflection by one pixel needs two
        bias = biased(norm)
        widths = [features * 2**i for i in range(downs + 1)]
        layers: list[nn.Module] = [nn.ReflectionPad2d(3), nn.Conv2d(inputs, features, 7, bias=bias)]
        layers += [normalisation(norm, features), nn.ReLU()]
        for width in widths[:-1]:
            layers.append(nn.Conv2d(width, 2 * width, 3, 2, 1, bias=bias))
            layers += [normalisation(norm, 2 * width), nn.ReLU()]
        layers += [ResNetBlock(widths[-1], norm=norm, dropout=False) for _ in range(blocks)]
        for width in reversed(widths[:-1]):
            layers.append(doubling(upsampling, 2 * width, width, kernel=3, bias=bias))
            layers += [normalisation(norm, width), nn.ReLU()]
        layers += [nn.ReflectionPad2d(3), nn.Conv2d(features, outputs, 7), nn.Tanh()]
        self.model = nn.Sequential(*layers)

    def forward(self, image: Tensor) -> Tensor:
        check_size(image, "pix2pixhd", multiple=self.multiple, minimum=self.minimum)
        result: Tensor = self.model(image)
        return result
