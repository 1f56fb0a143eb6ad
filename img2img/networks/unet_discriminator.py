"""Real-ESRGAN's discriminator: a U-Net that scores every pixel."""

from torch import Tensor, nn
from torch.nn import functional as F

from img2img.networks.spectral_conv import SpectralConv2d


class UNetDiscriminator(nn.Module):
    """Three strided convolutions down, three bilinear upscalings up. The encoder's maps are added on the way up.

    Wang et al. 2021 (Real-ESRGAN), section 3.3, in the layout of `UNetDiscriminatorSN` (repository XPixelGroup/BasicSR,
    `discriminator_arch.py`). All convolutions except the first and the last have spectral norm. Uses torch's default
    initialisation, as the official code does.

    Args:
        channels: channels of the picture.
        features: channels of the first layer.

    Input `[N, channels, H, W]` of any size; output one score per pixel, `[N, 1, H, W]`, unbounded.
    """

    def __init__(self, channels: int = 3, features: int = 64) -> None:
        super().__init__()
        self.conv0 = nn.Conv2d(channels, features, 3, 1, 1)
        for i in (1, 2, 3):
            width = features * 2**i
            self.add_module(f"conv{i}", SpectralConv2d(width // 2, width, 4, 2, 1, bias=False))
        for i in (4, 5, 6):
            width = features * 2 ** (6 - i)
            self.add_module(f"conv{i}", SpectralConv2d(width * 2, width, 3, 1, 1, bias=False))
        self.conv7 = SpectralConv2d(features, features, 3, 1, 1, bias=False)
        self.conv8 = SpectralConv2d(features, features, 3, 1, 1, bias=False)
        self.conv9 = nn.Conv2d(features, 1, 3, 1, 1)

    def forward(self, image: Tensor) -> Tensor:
        first, *rest = self.children()
        seen = [F.leaky_relu(first(image), 0.2)]
        for convolution in rest[:3]:
            seen.append(F.leaky_relu(convolution(_pad_to_two(seen[-1])), 0.2))
        hidden = seen.pop()
        for convolution in rest[3:6]:
            skip = seen.pop()
            hidden = F.interpolate(hidden, size=skip.shape[-2:], mode="bilinear", align_corners=False)
            hidden = F.leaky_relu(convolution(hidden), 0.2) + skip
        for convolution in rest[6:8]:
            hidden = F.leaky_relu(convolution(hidden), 0.2)
        scores: Tensor = rest[8](hidden)
        return scores


def _pad_to_two(hidden: Tensor) -> Tensor:
    # A side of one pixel cannot be halved. With this padding, no picture is too small.
    height, width = hidden.shape[-2:]
    return F.pad(hidden, (0, int(width < 2), 0, int(height < 2)), mode="replicate")
