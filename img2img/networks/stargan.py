"""StarGAN: one generator for all domains, and a discriminator that also classifies the domain."""

from torch import Tensor, nn
from torch.nn import functional as F

from img2img.errors import ConfigError
from img2img.networks.minibatch import MinibatchDeviation
from img2img.networks.planes import append_planes
from img2img.networks.sizes import check_size
from img2img.networks.upsampling import upsampling_layer


class LiveInstanceNorm2d(nn.InstanceNorm2d):
    """Instance norm with affine weights that always uses the statistics of the current picture.

    The official files contain running statistics, and so does the state dict here. But the official code tests in
    training mode, so the published results never used them. This layer loads them, but neither uses nor updates them,
    so that train and eval mode are the same function. Keeps the shape `[N, channels, H, W]`.
    """

    def __init__(self, channels: int) -> None:
        super().__init__(channels, affine=True, track_running_stats=True)

    def forward(self, hidden: Tensor) -> Tensor:
        return F.instance_norm(hidden, None, None, self.weight, self.bias, use_input_stats=True, eps=self.eps)


class StarGANBlock(nn.Module):
    """conv - norm - ReLU - conv - norm, added to the input. Keeps the shape `[N, features, H, W]`."""

    def __init__(self, features: int) -> None:
        super().__init__()
        self.main = nn.Sequential(
            nn.Conv2d(features, features, 3, 1, 1, bias=False),
            LiveInstanceNorm2d(features),
            nn.ReLU(),
            nn.Conv2d(features, features, 3, 1, 1, bias=False),
            LiveInstanceNorm2d(features),
        )

    def forward(self, hidden: Tensor) -> Tensor:
        residual: Tensor = self.main(hidden)
        return hidden + residual


class StarGANGenerator(nn.Module):
    """Translates a picture to the domain given by a vector.

    Choi et al. 2018, table 4, in the layout of `Generator` (repository yunjey/stargan, `model.py`).

    Args:
        domains: columns of the domain vector.
        features: channels at full size; twice and four times as many at the smaller sizes.
        blocks: residual blocks.
        channels: channels of the picture, in and out.
        upsampling: "transpose" or "resize".

    Input a picture `[N, channels, H, W]`, values -1..1, H and W multiples of 4, at least 8, and the target domain
    `[N, domains]`, which is broadcast over the picture as extra channels. Output `[N, channels, H, W]`, -1..1.

    Attributes:
        multiple, minimum: constraints on H and W, in pixels.

    Raises:
        ConfigError: the upsampling is unknown.
    """

    multiple = 4
    minimum = 8

    def __init__(
        self, domains: int, features: int = 64, blocks: int = 6, channels: int = 3, upsampling: str = "transpose"
    ) -> None:
        super().__init__()
        layers: list[nn.Module] = [nn.Conv2d(channels + domains, features, 7, 1, 3, bias=False)]
        layers += [LiveInstanceNorm2d(features), nn.ReLU()]
        for width in (features, 2 * features):
            layers.append(nn.Conv2d(width, 2 * width, 4, 2, 1, bias=False))
            layers += [LiveInstanceNorm2d(2 * width), nn.ReLU()]
        layers += [StarGANBlock(4 * features) for _ in range(blocks)]
        for width in (2 * features, features):
            layers.append(upsampling_layer(upsampling, 2 * width, width, bias=False))
            layers += [LiveInstanceNorm2d(width), nn.ReLU()]
        layers += [nn.Conv2d(features, channels, 7, 1, 3, bias=False), nn.Tanh()]
        self.main = nn.Sequential(*layers)

    def forward(self, image: Tensor, domain: Tensor) -> Tensor:
        check_size(image, "stargan", multiple=self.multiple, minimum=self.minimum)
        result: Tensor = self.main(append_planes(image, domain))
        return result


class StarGANDiscriminator(nn.Module):
    """Scores patches of a picture and classifies its domain.

    Choi et al. 2018, table 5, in the layout of `Discriminator` (repository yunjey/stargan, `model.py`). Has no norm, as
    the gradient penalty of WGAN-GP requires.

    Args:
        domains: number of domain logits.
        size: side of the square pictures, a multiple of `2 ** layers`.
        features: channels after the first halving; they double with each one.
        layers: halvings.
        channels: channels of the picture.
        minibatch: show the layer of the scores the mean standard deviation of the batch (Karras et al. 2018, section
            3), against a generator that makes one picture only.

    Attributes:
        classifier_parts: the layers that only the classification uses.

    Input `[N, channels, size, size]`, values -1..1. Output the source map `[N, 1, size / 2**layers, size / 2**layers]`
    (unbounded, high is real) and the domain logits `[N, domains]`.

    Raises:
        ConfigError: `size` cannot be halved `layers` times.
    """

    classifier_parts = ("conv2",)

    def __init__(
        self,
        domains: int,
        size: int = 128,
        features: int = 64,
        layers: int = 6,
        channels: int = 3,
        minibatch: bool = False,
    ) -> None:
        super().__init__()
        if layers < 1 or size < 1 or size % 2**layers:
            allowed = (size & -size).bit_length() - 1
            remedy = f"layers = {allowed} or less, or " if allowed > 0 and layers > 0 else ""
            raise ConfigError(
                f"stargan-discriminator: a side of {size} px cannot be halved layers = {layers} times; "
                f"use {remedy}a size that is a multiple of {2 ** max(layers, 1)}"
            )
        self.size = size
        sequence: list[nn.Module] = []
        width = channels
        for i in range(layers):
            sequence += [nn.Conv2d(width, features * 2**i, 4, 2, 1), nn.LeakyReLU(0.01)]
            width = features * 2**i
        self.main = nn.Sequential(*sequence)
        self.minibatch: nn.Module = MinibatchDeviation() if minibatch else nn.Identity()
        self.conv1 = nn.Conv2d(width + minibatch, 1, 3, 1, 1, bias=False)
        self.conv2 = nn.Conv2d(width, domains, size // 2**layers, bias=False)

    def forward(self, image: Tensor) -> tuple[Tensor, Tensor]:
        if image.shape[-2:] != (self.size, self.size):
            height, width = image.shape[-2:]
            raise ValueError(
                f"stargan-discriminator needs {self.size} x {self.size} pictures, "
                f"not {height} x {width} (height x width)"
            )
        hidden = self.main(image)
        return self.conv1(self.minibatch(hidden)), self.conv2(hidden).flatten(1)
