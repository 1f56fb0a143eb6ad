"""Adaptive instance norm: features get the statistics of a style."""

import torch
from torch import Tensor, nn
from torch.nn import functional as F

EPSILON = 1e-5


def adain(content: Tensor, mean: Tensor, deviation: Tensor) -> Tensor:
    """Give every channel of `content` `[N, C, H, W]` another mean and standard deviation, each `[N, C]`.

    Huang and Belongie 2017, equation 8. H * W is above 1.
    """
    normalised = F.instance_norm(content, eps=EPSILON)
    return normalised * deviation[:, :, None, None] + mean[:, :, None, None]


def statistics(features: Tensor) -> tuple[Tensor, Tensor]:
    """Return mean and standard deviation of every channel of `features` `[N, C, H, W]`, each `[N, C]`, for `adain`.

    Huang and Belongie 2017, equations 6 and 7 of their instance norm, with a small number under the root.
    """
    variance, mean = torch.var_mean(features, (2, 3), correction=0)
    return mean, torch.sqrt(variance + EPSILON)


class AdaIN(nn.Module):
    """Adaptive instance norm with statistics from a style vector: `[N, channels, H, W]` and `[N, style]`.

    One linear layer gives means and changes of the standard deviations, which are 1 without change. With zero weights,
    the layer is a plain instance norm.

    Args:
        channels: channels of the features.
        style: length of the style vector.
    """

    def __init__(self, channels: int, style: int) -> None:
        super().__init__()
        self.linear = nn.Linear(style, 2 * channels)

    def forward(self, content: Tensor, style: Tensor) -> Tensor:
        mean, change = self.linear(style).chunk(2, 1)
        return adain(content, mean, 1 + change)


class AdaINBlock(nn.Module):
    """conv - AdaIN - ReLU - conv - AdaIN, added to the input. Keeps the shape `[N, features, H, W]`.

    A block of MUNIT's decoder (Huang et al. 2018, appendix B.2). The statistics are an argument, because one network
    computes those of all blocks (`StyleStatistics`).
    """

    def __init__(self, features: int) -> None:
        super().__init__()
        self.conv1 = nn.Sequential(nn.ReflectionPad2d(1), nn.Conv2d(features, features, 3))
        self.conv2 = nn.Sequential(nn.ReflectionPad2d(1), nn.Conv2d(features, features, 3))

    def forward(self, hidden: Tensor, statistics: Tensor) -> Tensor:
        """Apply the block.

        Args:
            hidden: `[N, features, H, W]`, H and W above 1.
            statistics: `[N, 4 * features]`: mean and change of the standard deviation after the first convolution, then
                those after the second. With zeros, both norms are plain instance norms.
        """
        mean1, change1, mean2, change2 = statistics.chunk(4, 1)
        residual = F.relu(adain(self.conv1(hidden), mean1, 1 + change1))
        return hidden + adain(self.conv2(residual), mean2, 1 + change2)


class StyleStatistics(nn.Module):
    """A multilayer perceptron from a style code to the statistics of all AdaIN blocks of a decoder.

    Huang et al. 2018 (MUNIT), section 5.1 and appendix B.2: two hidden layers of 256 with ReLU.

    Args:
        style: length of the style code.
        features, blocks: channels and number of the `AdaINBlock`s.
        hidden: features of the hidden layers.

    Input `[N, style]`; output a tuple of `blocks` tensors `[N, 4 * features]`.
    """

    def __init__(self, style: int, features: int, blocks: int, hidden: int = 256) -> None:
        super().__init__()
        self.blocks = blocks
        self.layers = nn.Sequential(
            nn.Linear(style, hidden),
            nn.ReLU(),
            nn.Linear(hidden, hidden),
            nn.ReLU(),
            nn.Linear(hidden, 4 * features * blocks),
        )

    def forward(self, style: Tensor) -> tuple[Tensor, ...]:
        statistics: Tensor = self.layers(style)
        return statistics.chunk(self.blocks, 1)
