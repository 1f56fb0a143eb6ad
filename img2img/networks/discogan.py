"""The generator of DiscoGAN: an encoder and a decoder without skip connections."""

from itertools import pairwise

from torch import Tensor, nn

from img2img.networks.norms import needs_bias, norm_layer
from img2img.networks.sizes import check_size


class DiscoGANGenerator(nn.Module):
    """Four halvings and four doublings, so that everything has to pass through a small map.

    Kim et al. 2017, section 3.4, in the layout of `Generator` (repository SKTBrain/DiscoGAN, `discogan/model.py`). It
    ends with a tanh for values in -1..1 instead of a sigmoid for 0..1.

    Args:
        inputs, outputs: channels of the two pictures.
        features: channels after the first halving; they double with each one, to 8 * features.
        bottleneck: channels of a code of 1/64 of the size between encoder and decoder; 0: none. The official code has
            100 in its later version.
        norm: "batch", "instance" or "none".

    Input `[N, inputs, H, W]`, values -1..1, H and W multiples of `multiple`; output `[N, outputs, H, W]`, -1..1.

    Attributes:
        multiple, minimum: constraints on H and W, in pixels.

    Raises:
        ConfigError: the norm is unknown.
    """

    def __init__(
        self, inputs: int = 3, outputs: int = 3, features: int = 64, bottleneck: int = 0, norm: str = "batch"
    ) -> None:
        super().__init__()
        self.multiple = 64 if bottleneck else 16
        self.minimum = 64 if bottleneck else 32
        bias = needs_bias(norm)
        widths = [features * 2**i for i in range(4)]
        layers: list[nn.Module] = [nn.Conv2d(inputs, features, 4, 2, 1, bias=False), nn.LeakyReLU(0.2)]
        for wide, wider in pairwise(widths):
            layers += [nn.Conv2d(wide, wider, 4, 2, 1, bias=bias), norm_layer(norm, wider), nn.LeakyReLU(0.2)]
        if bottleneck:
            # The official kernel covers the 4x4 map of a 64 px picture. Stride 4 does the same for every part of a
            # larger one.
            layers += [nn.Conv2d(widths[-1], bottleneck, 4, 4, bias=bias), norm_layer(norm, bottleneck)]
            layers += [nn.LeakyReLU(0.2), nn.ConvTranspose2d(bottleneck, widths[-1], 4, 4, bias=bias)]
            layers += [norm_layer(norm, widths[-1]), nn.ReLU()]
        for wide, narrower in pairwise(widths[::-1]):
            layers += [nn.ConvTranspose2d(wide, narrower, 4, 2, 1, bias=bias), norm_layer(norm, narrower), nn.ReLU()]
        layers += [nn.ConvTranspose2d(features, outputs, 4, 2, 1, bias=False), nn.Tanh()]
        self.main = nn.Sequential(*layers)

    def forward(self, image: Tensor) -> Tensor:
        check_size(image, "discogan", multiple=self.multiple, minimum=self.minimum)
        result: Tensor = self.main(image)
        return result
