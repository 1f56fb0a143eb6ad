"""The discriminator of energy-based GANs: an auto-encoder. Its reconstruction error is the energy of a picture."""

from typing import ClassVar, Literal

from torch import Tensor, nn
from torch.nn import functional as F

from img2img.errors import ConfigError


class AutoEncoder(nn.Module):
    """Fully convolutional auto-encoder. The worse it reconstructs a picture, the higher the picture's energy.

    For EBGAN (Zhao et al. 2017, section 2) and BEGAN (Berthelot et al. 2017, figure 1). The layers follow BEGAN: pairs
    of 3x3 convolutions with ELU, an encoder that grows linearly wider with each level, and a decoder of constant width
    with nearest upscaling. BEGAN's bottleneck is a fully connected layer for one picture size; here it is a 1x1
    convolution to few channels, so that pictures can have any size. No norm; torch's default initialisation.

    Args:
        inputs: channels of the picture.
        features: channels of the first level.
        downs: halvings before the bottleneck.
        bottleneck: channels of the bottleneck. With fewer channels, less of an unseen picture passes through.
        error: "l1", as in BEGAN, or "l2", as in EBGAN.

    Input `[N, inputs, H, W]`, any size. Output one energy per picture, `[N]`, >= 0: the mean error over channels and
    pixels.

    Raises:
        ConfigError: `error` is neither "l1" nor "l2", or `downs` is below 1.
    """

    energy: ClassVar[bool] = True
    """The output is an energy, low for real pictures. Other discriminators return scores."""

    def __init__(
        self,
        inputs: int = 3,
        features: int = 64,
        downs: int = 3,
        bottleneck: int = 16,
        error: Literal["l1", "l2"] = "l1",
    ) -> None:
        super().__init__()
        if error not in ("l1", "l2"):
            raise ConfigError(f"auto-encoder: error must be 'l1' or 'l2', not '{error}'")
        if downs < 1:
            raise ConfigError(f"auto-encoder: downs = {downs} must be at least 1")
        self.error = error
        self.first = nn.Conv2d(inputs, features, 3, 1, 1)
        self.down = nn.ModuleList(
            _pair(features * level, features * (level + 1), stride=2) for level in range(1, downs + 1)
        )
        self.narrow = nn.Conv2d(features * (downs + 1), bottleneck, 1)
        self.widen = nn.Conv2d(bottleneck, features, 1)
        self.up = nn.ModuleList(_pair(features, features) for _ in range(downs))
        self.last = nn.Conv2d(features, inputs, 3, 1, 1)

    def encode(self, image: Tensor) -> Tensor:
        """Return the bottleneck, `[N, bottleneck, H / 2^downs, W / 2^downs]`, for EBGAN's pulling-away term."""
        hidden = F.elu(self.first(image))
        for level in self.down:
            hidden = level(hidden)
        code: Tensor = self.narrow(hidden)
        return code

    def reconstruct(self, image: Tensor) -> Tensor:
        """Return the reconstruction of `image` from the bottleneck, `[N, inputs, H, W]`."""
        hidden = self.widen(self.encode(image))
        sizes = [list(image.shape[-2:])]
        for _ in self.up[1:]:
            sizes.append([(side + 1) // 2 for side in sizes[-1]])
        for level, size in zip(self.up, reversed(sizes), strict=True):
            hidden = level(F.interpolate(hidden, size=size, mode="nearest"))
        result: Tensor = self.last(hidden)
        return result

    def forward(self, image: Tensor) -> Tensor:
        difference = self.reconstruct(image) - image
        error = difference.abs() if self.error == "l1" else difference.square()
        return error.flatten(1).mean(1)


def _pair(inputs: int, outputs: int, stride: int = 1) -> nn.Sequential:
    return nn.Sequential(
        nn.Conv2d(inputs, inputs, 3, 1, 1),
        nn.ELU(),
        nn.Conv2d(inputs, outputs, 3, stride, 1),
        nn.ELU(),
    )
