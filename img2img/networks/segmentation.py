"""A small network that says for every pixel which class it belongs to. It judges pictures; it does not make any."""

from torch import Tensor, nn
from torch.nn import functional as F

from img2img.networks.sizes import check_size

WIDTHS = (24, 48, 96, 128)
"""Channels at a half, a quarter, an eighth and a sixteenth of the size."""


class SegmentationNetwork(nn.Module):
    """Four halvings, class scores at each of the four sizes, and their sum at full size.

    The fully convolutional network with skip connections of Long et al. 2015 (FCN-8s), but small and without pretrained
    weights, so that it learns within minutes on a CPU.

    Args:
        classes: number of classes.

    Input RGB `[N, 3, H, W]`, -1..1; H and W multiples of 16. Output logits `[N, classes, H, W]`.

    Attributes:
        multiple, minimum: constraints on H and W.
    """

    def __init__(self, classes: int) -> None:
        super().__init__()
        self.classes = classes
        self.multiple = self.minimum = 2 ** len(WIDTHS)
        self.stages = nn.ModuleList()
        self.scores = nn.ModuleList()
        channels = 3
        for width in WIDTHS:
            self.stages.append(nn.Sequential(*_convolution(channels, width, 2), *_convolution(width, width, 1)))
            self.scores.append(nn.Conv2d(width, classes, 1))
            channels = width

    def forward(self, picture: Tensor) -> Tensor:
        check_size(picture, "segmentation network", multiple=self.multiple, minimum=self.minimum)
        features, scores = picture, []
        for stage, score in zip(self.stages, self.scores, strict=True):
            features = stage(features)
            scores.append(score(features))
        total = scores.pop()
        for finer in reversed(scores):
            total = _doubled(total) + finer
        return _doubled(total)


def _convolution(inputs: int, outputs: int, stride: int) -> list[nn.Module]:
    return [nn.Conv2d(inputs, outputs, 3, stride, 1, bias=False), nn.BatchNorm2d(outputs), nn.ReLU(inplace=True)]


def _doubled(scores: Tensor) -> Tensor:
    return F.interpolate(scores, scale_factor=2.0, mode="bilinear", align_corners=False)
