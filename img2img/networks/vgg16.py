"""VGG-16 with batch norm for pictures of 4 * 2^n pixels, and the same turned round: the networks of IP-GAN."""

from itertools import pairwise

from torch import Tensor, nn

from img2img.networks.vectors import halvings_to_4

CONVOLUTIONS = (2, 2, 3, 3, 3)
"""Convolutions of each stage of VGG-16 (Simonyan and Zisserman 2015, configuration D)."""

WIDTHS = (1, 2, 4, 8, 8)
"""Channels of each stage, in units of the first."""


class VGG16(nn.Module):
    """VGG-16 down to 4 x 4 pixels, with one linear layer.

    Bao's doctoral thesis (IP-GAN, CVPR 2018), section 5.2: 128 px instead of 224, so the last pooling has 4 x 4 x 512
    values, and one linear layer instead of three; batch norm and ReLU after each convolution. Pictures below 128 px
    omit the last stages, and larger ones repeat the last one.

    Args:
        outputs: numbers that the linear layer returns.
        inputs: channels of the picture.
        size: side of the square picture, a power of two, at least 8.
        features: channels of the first stage; the widest has 8 times as many.

    Input `[N, inputs, size, size]`, -1..1. Output of the linear layer `[N, outputs]`, and its input, the values of the
    last pooling `[N, pooled]`.

    Attributes:
        pooled: number of values of the last pooling.

    Raises:
        ConfigError: `size` has another value.
    """

    def __init__(self, outputs: int, inputs: int = 3, size: int = 128, features: int = 64) -> None:
        super().__init__()
        layers: list[nn.Module] = []
        width = inputs
        for convolutions, factor in stages(halvings_to_4("vgg16", size)):
            for _ in range(convolutions):
                layers += _convolution(width, factor * features)
                width = factor * features
            layers.append(nn.MaxPool2d(2))
        self.pooled = 16 * width
        self.main = nn.Sequential(*layers, nn.Flatten())
        self.last = nn.Linear(self.pooled, outputs)

    def forward(self, image: Tensor) -> tuple[Tensor, Tensor]:
        pooled = self.main(image)
        return self.last(pooled), pooled


class InvertedVGG16(nn.Module):
    """A picture from a vector, through the stages of `VGG16` in reverse ("inverted VGG-16", the thesis, section 5.2).

    A linear layer to 4 x 4 pixels, then stages that each double the sides (nearest neighbour, a choice: the thesis does
    not say) and convolve. Batch norm and ReLU follow each layer but the last, which has a tanh.

    Args:
        inputs: numbers of the vector.
        outputs: channels of the picture.
        size: side of the square picture, a power of two, at least 8.
        features: channels of the last stage; the widest has 8 times as many.

    Input `[N, inputs]`, output `[N, outputs, size, size]`, -1..1.

    Raises:
        ConfigError: `size` has another value.
    """

    def __init__(self, inputs: int, outputs: int = 3, size: int = 128, features: int = 64) -> None:
        super().__init__()
        reverse = stages(halvings_to_4("inverted-vgg16", size))[::-1]
        widths = [factor * features for _, factor in reverse]
        self.first = nn.Linear(inputs, 16 * widths[0], bias=False)
        layers: list[nn.Module] = [nn.BatchNorm2d(widths[0]), nn.ReLU()]
        for (convolutions, _), (width, narrower) in zip(reverse, pairwise([*widths, widths[-1]]), strict=True):
            layers.append(nn.Upsample(scale_factor=2))
            for place in range(convolutions):
                layers += _convolution(width, width if place < convolutions - 1 else narrower)
        layers += [nn.Conv2d(widths[-1], outputs, 3, 1, 1), nn.Tanh()]
        self.main = nn.Sequential(*layers)

    def forward(self, vector: Tensor) -> Tensor:
        result: Tensor = self.main(self.first(vector).unflatten(1, (-1, 4, 4)))
        return result


def stages(count: int) -> list[tuple[int, int]]:
    """Return convolutions and width factor of each of `count` stages."""
    last = len(CONVOLUTIONS) - 1
    return [(CONVOLUTIONS[min(i, last)], WIDTHS[min(i, last)]) for i in range(count)]


def _convolution(inputs: int, outputs: int) -> list[nn.Module]:
    return [nn.Conv2d(inputs, outputs, 3, 1, 1, bias=False), nn.BatchNorm2d(outputs), nn.ReLU()]
