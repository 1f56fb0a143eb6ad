"""The discriminator of SRGAN and ESRGAN: pairs of convolutions as in VGG, one score per picture."""

from torch import Tensor, nn
from torch.nn import functional as F

from img2img.errors import ConfigError
from img2img.networks.norms import needs_bias, norm_layer
from img2img.networks.sizes import check_size


class VGGStyle(nn.Module):
    """Stages of a 3x3 and a strided 4x4 convolution, then two linear layers.

    Ledig et al. 2017 (SRGAN), figure 4, in ESRGAN's form (Wang et al. 2018) and in the layout of
    `VGGStyleDiscriminator` (repository XPixelGroup/BasicSR, `discriminator_arch.py`): keys `convS_0|1`, `bnS_0|1`,
    `linear1|2`. Uses torch's default initialisation, as the official code does.

    Args:
        channels: channels of the picture.
        features: channels of the first stage; they double with each one, up to 8 * features.
        size: side of the pictures for which the linear layers are built, a multiple of 32. There are five stages, and
            more as long as the grid is at least 8 and can be halved. 128 and 256 give a 4 x 4 grid, as published.
        norm: "batch", "instance", "layer" or "none" (gradient penalties need one of the last three).

    Input `[N, channels, H, W]`, RGB 0..1, sides at least `minimum`. If a picture's grid differs from that of `size`, it
    is average-pooled to it. Output `[N, 1]`, logits, high is real.

    Attributes:
        minimum: smallest side of a picture, in pixels.

    Raises:
        ConfigError: `size` is not a multiple of 32, or too small for instance norm; or the norm is unknown.
    """

    def __init__(self, channels: int = 3, features: int = 64, size: int = 128, norm: str = "batch") -> None:
        super().__init__()
        if size < 32 or size % 32:
            raise ConfigError(f"vgg-style: size = {size} must be a multiple of 32")
        self.stages, self.grid = 5, size // 32
        while self.grid >= 8 and self.grid % 2 == 0:
            self.stages, self.grid = self.stages + 1, self.grid // 2
        # On the last grid, instance norm needs more than one pixel.
        self.minimum = 2 ** (self.stages + (norm == "instance"))
        if size < self.minimum:
            raise ConfigError(f"vgg-style: size = {size} must be at least {self.minimum} with {norm} norm")
        width = channels
        for stage in range(self.stages):
            wider = features * min(2**stage, 8)
            first = stage == 0
            self.add_module(f"conv{stage}_0", nn.Conv2d(width, wider, 3, 1, 1, bias=first or needs_bias(norm)))
            if not first:
                self.add_module(f"bn{stage}_0", norm_layer(norm, wider))
            self.add_module(f"conv{stage}_1", nn.Conv2d(wider, wider, 4, 2, 1, bias=needs_bias(norm)))
            self.add_module(f"bn{stage}_1", norm_layer(norm, wider))
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
