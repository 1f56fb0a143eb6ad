"""The discriminator of energy-based GANs: an auto-encoder whose reconstruction error is the energy of a picture."""

from typing import ClassVar, Literal

from torch import Tensor, nn
from torch.nn import functional as F

from img2img.errors import ConfigError


class AutoEncoder(nn.Module):
    """Fully convolutional auto-encoder; the worse it reconstructs a picture, the more energy that picture has.

    For EBGAN (Zhao et al. 2017, section 2) and BEGAN (Berthelot et al. 2017, figure 1). Layers as in BEGAN: pairs of
    3x3 convolutions with ELU, the encoder's width growing linearly from level to level, nearest upscaling in a decoder
    of constant width. Where BEGAN has a fully connected layer at one picture size, a 1x1 convolution to few channels
    is the bottleneck here, so that any size goes through. No norm; torch's own initialisation.

    Args:
        inputs: channels of the picture.
        features: channels of the first level.
        downs: halvings on the way to the bottleneck.
        bottleneck: channels of the bottleneck; the fewer, the less of an unseen picture gets through.
        error: "l1", as BEGAN has it, or "l2", EBGAN's.

    Input `[N, inputs, H, W]`, any size; output one energy a picture, `[N]`, >= 0: the mean error over channels and
    pixels.

    Raises:
        ConfigError: `error` is neither of the two, or `downs` is below 1.
    """

    energy: ClassVar[bool] = True
    """The output is an energy, low for real pictures, where other discriminators give scores."""

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
            raise ConfigError(f"auto-encoder has error 'l1' or 'l2', not '{error}'")
        if downs < 1:
            raise ConfigError(f"auto-encoder needs at least one halving (downs), not {downs}")
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
        """The bottleneck, `[N, bottleneck, H / 2^downs, W / 2^downs]`: what EBGAN's pulling-away term compares."""
        hidden = F.elu(self.first(image))
        for level in self.down:
            hidden = level(hidden)
        code: Tensor = self.narrow(hidden)
        return code

    def reconstruct(self, image: Tensor) -> Tensor:
        """`image`, through the bottleneck and back; `[N, inputs, H, W]`."""
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
