"""Pictures from vectors, vectors from pictures, and labels from pictures: the networks of CVAE-GAN."""

from itertools import pairwise

import torch
from torch import Tensor, nn

from img2img.errors import ConfigError
from img2img.networks.planes import append_planes

GENERATOR_WIDTHS = (8, 4, 4, 2, 1)
"""Channels after each doubling of the generator, in units of `features` (table 3.1). The last one has the picture's
size."""


class VectorGenerator(nn.Module):
    """A picture from a vector: a code, and a label behind it.

    Bao's doctoral thesis (CVAE-GAN, ICCV 2017), table 3.1: a linear layer to 4 x 4 pixels, then transposed
    convolutions that double the sides, then a 5 x 5 convolution. Batch norm and ReLU follow each layer but the last,
    which has a tanh, as in DCGAN (Radford et al. 2016). The thesis gives 128 px, which takes five doublings. Smaller
    pictures omit the first of them; larger ones repeat it.

    Args:
        inputs: numbers of the vector.
        outputs: channels of the picture.
        size: side of the square picture, a power of two, at least 8.
        features: channels of the last but one layer; the widest has 8 times as many.

    Input `[N, inputs]`, output `[N, outputs, size, size]`, -1..1.

    Raises:
        ConfigError: `size` has another value.
    """

    def __init__(self, inputs: int, outputs: int = 3, size: int = 128, features: int = 64) -> None:
        super().__init__()
        doublings = halvings_to_4("vector-generator", size)
        widest = GENERATOR_WIDTHS[0]
        factors = (widest,) * (doublings - len(GENERATOR_WIDTHS)) + GENERATOR_WIDTHS[-doublings:]
        widths = [features * factor for factor in (widest, *factors)]
        self.first = nn.Linear(inputs, 16 * widths[0], bias=False)
        layers: list[nn.Module] = [nn.BatchNorm2d(widths[0]), nn.ReLU()]
        for wide, narrower in pairwise(widths):
            layers += [nn.ConvTranspose2d(wide, narrower, 4, 2, 1, bias=False), nn.BatchNorm2d(narrower), nn.ReLU()]
        layers += [nn.Conv2d(widths[-1], outputs, 5, 1, 2), nn.Tanh()]
        self.main = nn.Sequential(*layers)

    def forward(self, vector: Tensor) -> Tensor:
        result: Tensor = self.main(self.first(vector).unflatten(1, (-1, 4, 4)))
        return result


class VectorEncoder(nn.Module):
    """The mean and the log variance of the code of a picture, given its label.

    The thesis (section 4.2) takes GoogLeNet with two outputs. This is a compact network in the manner of the
    discriminator (table 3.2): 4 x 4 convolutions with stride 2 down to 4 x 4 pixels, with leaky ReLU and, from the
    second one on, batch norm; then one linear layer. The thesis does not say how the label enters. Here each number of
    it is a constant plane beside the picture.

    Args:
        outputs: numbers of the code.
        labels: numbers of the label; 0: none.
        inputs: channels of the picture.
        size: side of the square picture, a power of two, at least 8.
        features: channels of the first layer; they double with each one, up to 8 times as many.

    Input a picture `[N, inputs, size, size]`, -1..1, and a label `[N, labels]`. Output mean and log variance,
    `[N, outputs]` each.

    Raises:
        ConfigError: `size` has another value.
    """

    def __init__(self, outputs: int, labels: int = 0, inputs: int = 3, size: int = 128, features: int = 64) -> None:
        super().__init__()
        halvings = halvings_to_4("vector-encoder", size)
        widths = [features * min(2**i, 8) for i in range(halvings)]
        layers: list[nn.Module] = [nn.Conv2d(inputs + labels, widths[0], 4, 2, 1), nn.LeakyReLU(0.2)]
        for narrow, wider in pairwise(widths):
            layers += [nn.Conv2d(narrow, wider, 4, 2, 1, bias=False), nn.BatchNorm2d(wider), nn.LeakyReLU(0.2)]
        self.main = nn.Sequential(*layers, nn.Flatten())
        self.last = nn.Linear(16 * widths[-1], 2 * outputs)

    def forward(self, image: Tensor, label: Tensor | None = None) -> tuple[Tensor, Tensor]:
        given = image if label is None else append_planes(image, label)
        mean, log_variance = self.last(self.main(given)).chunk(2, 1)
        return mean, log_variance


class LabelClassifier(nn.Module):
    """The label of a picture, and the features that it is decided by.

    Bao's doctoral thesis, table 3.3: a 7 x 7 convolution, then max pooling and a 3 x 3 convolution in turn down to
    4 x 4 pixels, one more convolution and two linear layers. Batch norm and ReLU follow each convolution, a ReLU the
    first linear layer. The thesis gives 128 px; smaller pictures are pooled less often.

    Args:
        classes: number of labels.
        inputs: channels of the picture.
        size: side of the square picture, a power of two, at least 8.
        features: channels of the first layer; they double with each pooling, up to 8 times as many.
        hidden: number of features before the last layer.

    Input `[N, inputs, size, size]`, -1..1. Output logits `[N, classes]` and features `[N, hidden]`, the input of the
    last layer.

    Raises:
        ConfigError: `size` has another value.
    """

    def __init__(self, classes: int, inputs: int = 3, size: int = 128, features: int = 64, hidden: int = 1024) -> None:
        super().__init__()
        poolings = halvings_to_4("label-classifier", size)
        widths = [features * min(2**i, 8) for i in range(poolings + 1)]
        layers: list[nn.Module] = [nn.Conv2d(inputs, widths[0], 7, 1, 3, bias=False)]
        layers += [nn.BatchNorm2d(widths[0]), nn.ReLU()]
        for narrow, wider in pairwise(widths):
            layers += [nn.MaxPool2d(2), nn.Conv2d(narrow, wider, 3, 1, 1, bias=False), nn.BatchNorm2d(wider), nn.ReLU()]
        layers += [nn.Conv2d(widths[-1], widths[-1], 3, 1, 1, bias=False), nn.BatchNorm2d(widths[-1]), nn.ReLU()]
        self.main = nn.Sequential(*layers, nn.Flatten(), nn.Linear(16 * widths[-1], hidden), nn.ReLU())
        self.last = nn.Linear(hidden, classes)

    def forward(self, image: Tensor) -> tuple[Tensor, Tensor]:
        features = self.main(image)
        return self.last(features), features


def halvings_to_4(network: str, size: int) -> int:
    """Return how often `size` can be halved until it is 4.

    Raises:
        ConfigError: it is not a power of two, or below 8.
    """
    if size < 8 or size & (size - 1):
        raise ConfigError(f"{network}: size = {size} must be a power of two, at least 8")
    return size.bit_length() - 3


def one_hot_of(logits: Tensor) -> Tensor:
    """Return the label `[N, K]` with a 1 in the column of the highest logit."""
    # A comparison instead of argmax: not every onnxruntime provider has one-hot.
    return torch.ge(logits, logits.amax(1, keepdim=True)).to(logits.dtype)
