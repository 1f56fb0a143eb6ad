"""The discriminator of SRGAN and ESRGAN: pairs of convolutions as in VGG, one score a picture."""

from torch import Tensor, nn
from torch.nn import functional as F

from img2img.errors import ConfigError
from img2img.networks.norms import biased, normalisation
from img2img.networks.sizes import check_size


class VGGStyle(nn.Module):
    """Stages of a 3x3 and a strided 4x4 convolution, then two linear layers.

    Ledig et al. 2017 (SRGAN), figure 4, as Wang et al. 2018 (ESRGAN) have it, in the layout of
    `VGGStyleDiscriminator` (repository XPixelGroup/BasicSR, `discriminator_arch.py`): keys `convS_0|1`, `bnS_0|1`,
    `linear1|2`. torch's own initialisation, as in the official code.

    Args:
        channels: channels of the picture.
        features: channels of the first stage; they double at each one, up to 8 * features.
        size: side of the pictures that the linear layers are made for, a multiple of 32. There are five stages, and
            more as long as a grid of 8 or more can be halved: 128 and 256 give a grid of 4 x 4, as published.
        norm: "batch", "instance" or "none" (gradient penalties ask for "instance" or "none").

    Input `[N, channels, H, W]`, RGB 0..1, sides at least `minimum`; where the grid that they give is not the one of
    `size` it is averaged to it. Output `[N, 1]`, logits, high is real.

    Attributes:
        minimum: smallest side of a picture, in pixels.

    Raises:
        ConfigError: `size` is no multiple of 32, or too small for instance norm; or the norm is unknown.
    """

    def __init__(self, channels: int = 3, features: int = 64, size: int = 128, norm: str = "batch") -> None:
        super().__init__()
        if size < 32 or size % 32:
            raise ConfigError(f"vgg-style needs a size that is a multiple of 32, not {size}")
        self.stages, self.grid = 5, size // 32
        while self.grid >= 8 and self.grid % 2 == 0:
            self.stages, self.grid = self.stages + 1, self.grid // 2
        # At the last grid instance norm needs more than one pixel.
        self.minimum = 2 ** (self.stages + (norm == "instance"))
        if size < self.minimum:
            raise ConfigError(f"vgg-style with {norm} norm needs a size of {self.minimum} or more, not {size}")
        width = channels
        for stage in range(self.stages):
            wider = features * min(2**stage, 8)
            first = stage == 0
            self.add_module(f"conv{stage}_0", nn.Conv2d(width, wider, 3, 1, 1, bias=first or biased(norm)))
            if not first:
                self.add_module(f"bn{stage}_0", normalisation(norm, wider))
            self.add_module(f"conv{stage}_1", nn.Conv2d(wider, wider, 4, 2, 1, bias=biased(norm)))
            self.add_module(f"bn{stage}_1", normalisation(norm, wider))
            width = wider
        self.linear1 = nn.Linear(width * self.grid**2, 100)
        self.linear2 = nn.Linear(100, 1)

    def forward(self, image: Tensor) -> Tensor:
        check_size(image, "vgg-style", minimum=self.minimum)
        hidden = F.leaky_relu(self.get_submodule("conv0_0")(image), 0.2)
        for name, layer in self.named_children():
            if name.startswith("bn"):
                hidden = F.leaky_relu(layer(hidden), 0.2)
            elif name.startswith("conv") and name != "conv0_0":
                hidden = layer(hidden)
        if hidden.shape[-2:] != (self.grid, self.grid):
            hidden = F.adaptive_avg_pool2d(hidden, self.grid)
        scores: Tensor = self.linear2(F.leaky_relu(self.linear1(hidden.flatten(1)), 0.2))
        return scores
