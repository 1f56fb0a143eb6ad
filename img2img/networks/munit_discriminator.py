"""MUNIT's discriminator: patch discriminators without norm that look at the picture at several scales."""

from torch import Tensor, nn
from torch.nn import functional as F

from img2img.errors import ConfigError
from img2img.networks.sizes import check_size


class MUNITDiscriminator(nn.Module):
    """Identical patch discriminators with separate weights, on the picture and on ever smaller copies of it.

    Huang et al. 2018 (MUNIT), section 5.1 and appendix B.2, also used by the later code of UNIT. Unlike pix2pixHD's
    (`multi_scale.MultiScale`), every convolution but the last one halves the size, and there is no norm.

    Args:
        inputs: channels of the picture.
        features: channels of the first layer; they double with each layer, up to 8 * features.
        layers: convolutions with stride 2 in each discriminator.
        scales: number of discriminators. Each sees the picture at half the size of the previous one.

    Input `[N, inputs, H, W]`, values -1..1, sides at least `minimum`. Output a list of `[N, 1, h, w]`, finest scale
    first, unbounded, high is real.

    Attributes:
        minimum: smallest side of a picture, in pixels.
        matching_share: weight of each layer in feature matching, so that all layers of all scales together weigh 1.

    Raises:
        ConfigError: `layers` or `scales` is below 1.
    """

    def __init__(self, inputs: int = 3, features: int = 64, layers: int = 4, scales: int = 3) -> None:
        super().__init__()
        if layers < 1 or scales < 1:
            raise ConfigError(f"munit-discriminator: layers = {layers} and scales = {scales} must be at least 1")
        self.minimum = 2 ** (layers + scales - 1)
        self.matching_share = 1 / layers / scales
        self.scales = nn.ModuleList(_discriminator(inputs, features, layers) for _ in range(scales))

    def forward(self, image: Tensor) -> list[Tensor]:
        check_size(image, "munit-discriminator", minimum=self.minimum)
        scores = []
        for number, discriminator in enumerate(self.scales):
            if number:
                image = F.avg_pool2d(image, 3, 2, 1, count_include_pad=False)
            scores.append(discriminator(image))
        return scores


def _discriminator(inputs: int, features: int, layers: int) -> nn.Sequential:
    sequence: list[nn.Module] = []
    width = inputs
    for i in range(layers):
        wider = features * min(2**i, 8)
        sequence += [nn.ReflectionPad2d(1), nn.Conv2d(width, wider, 4, 2), nn.LeakyReLU(0.2)]
        width = wider
    return nn.Sequential(*sequence, nn.Conv2d(width, 1, 1))
