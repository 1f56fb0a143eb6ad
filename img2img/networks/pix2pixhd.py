"""The global generator of pix2pixHD: a deep residual network for large pictures."""

from torch import Tensor, nn

from img2img.errors import ConfigError
from img2img.networks.norms import needs_bias, norm_layer
from img2img.networks.resnet import ResNetBlock
from img2img.networks.sizes import check_size
from img2img.networks.upsampling import upsampling_layer


class GlobalGenerator(nn.Module):
    """CycleGAN's residual generator with more halvings.

    Wang et al. 2018 (pix2pixHD), section 3.1 and appendix, in the layout of `GlobalGenerator` (repository
    NVIDIA/pix2pixHD, `networks.py`). The official weights start from N(0, 0.02): `initialise(network, "normal", 0.02)`.

    Args:
        inputs, outputs: channels of the two pictures.
        features: channels at full size; they double with each halving.
        downs: halvings. The paper has 4, which gives 182 million parameters with 64 features.
        blocks: residual blocks at the smallest size.
        norm: "instance", "layer", "none" or "batch". With "batch", convolutions before a norm have no bias, unlike the
            official ones.
        upsampling: "transpose" or "resize".

    Input `[N, inputs, H, W]`, values -1..1, H and W multiples of `multiple`, at least `minimum`; output
    `[N, outputs, H, W]`, -1..1.

    Attributes:
        multiple, minimum: constraints on H and W, in pixels.

    Raises:
        ConfigError: `downs` is below 1, or a norm or upsampling is unknown.
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
            raise ConfigError(f"pix2pixhd: downs = {downs} must be at least 1")
        self.multiple = 2**downs
        self.minimum = 2 * self.multiple  # reflection padding by one pixel needs two
        bias = needs_bias(norm)
        widths = [features * 2**i for i in range(downs + 1)]
        layers: list[nn.Module] = [nn.ReflectionPad2d(3), nn.Conv2d(inputs, features, 7, bias=bias)]
        layers += [norm_layer(norm, features), nn.ReLU()]
        for width in widths[:-1]:
            layers.append(nn.Conv2d(width, 2 * width, 3, 2, 1, bias=bias))
            layers += [norm_layer(norm, 2 * width), nn.ReLU()]
        layers += [ResNetBlock(widths[-1], norm=norm, dropout=False) for _ in range(blocks)]
        for width in reversed(widths[:-1]):
            layers.append(upsampling_layer(upsampling, 2 * width, width, kernel=3, bias=bias))
            layers += [norm_layer(norm, width), nn.ReLU()]
        layers += [nn.ReflectionPad2d(3), nn.Conv2d(features, outputs, 7), nn.Tanh()]
        self.model = nn.Sequential(*layers)

    def forward(self, image: Tensor) -> Tensor:
        check_size(image, "pix2pixhd", multiple=self.multiple, minimum=self.minimum)
        result: Tensor = self.model(image)
        return result
