"""The local enhancer of pix2pixHD: a global generator, and layers around it that work at twice its size."""

from collections.abc import Mapping

from torch import Tensor, nn
from torch.nn import functional as F

from img2img.errors import CheckpointError
from img2img.networks.norms import needs_bias, norm_layer
from img2img.networks.pix2pixhd import GlobalGenerator
from img2img.networks.resnet import ResNetBlock
from img2img.networks.sizes import check_size
from img2img.networks.upsampling import upsampling_layer

LAST_LAYERS = 3
"""Layers at the end of the global generator that make the picture. The enhancer adds its own features instead."""


class LocalEnhancer(nn.Module):
    """A coarse-to-fine generator: the features of a global generator, which sees the picture at half the size, are
    added to those of the enhancer.

    Wang et al. 2018 (pix2pixHD), section 3.1 and appendix, in the layout of `LocalEnhancer` (repository
    NVIDIA/pix2pixHD, `networks.py`) with one enhancer: `model` is the global generator without its last layers,
    `model1_1` and `model1_2` are the enhancer. The official weights start from N(0, 0.02).

    Args:
        inputs, outputs: channels of the two pictures.
        features: channels at full size. The global generator has twice as many, so 32 belongs to one of 64.
        downs: halvings of the global generator.
        blocks: residual blocks of the global generator.
        local_blocks: residual blocks of the enhancer.
        norm, upsampling: see `GlobalGenerator`.

    Input `[N, inputs, H, W]`, values -1..1, H and W multiples of `multiple`, at least `minimum`; output
    `[N, outputs, H, W]`, -1..1.

    Attributes:
        multiple, minimum: constraints on H and W, in pixels.

    Raises:
        ConfigError: `downs` is below 1, or a norm or upsampling is unknown.
    """

    def __init__(
        self,
        inputs: int = 3,
        outputs: int = 3,
        features: int = 32,
        downs: int = 4,
        blocks: int = 9,
        local_blocks: int = 3,
        norm: str = "instance",
        upsampling: str = "transpose",
    ) -> None:
        super().__init__()
        whole = GlobalGenerator(inputs, outputs, 2 * features, downs, blocks, norm, upsampling)
        self.multiple, self.minimum = 2 * whole.multiple, 2 * whole.minimum
        self.model = whole.model[:-LAST_LAYERS]
        bias = needs_bias(norm)
        self.model1_1 = nn.Sequential(
            nn.ReflectionPad2d(3),
            nn.Conv2d(inputs, features, 7, bias=bias),
            norm_layer(norm, features),
            nn.ReLU(),
            nn.Conv2d(features, 2 * features, 3, 2, 1, bias=bias),
            norm_layer(norm, 2 * features),
            nn.ReLU(),
        )
        self.model1_2 = nn.Sequential(
            *(ResNetBlock(2 * features, norm=norm, dropout=False) for _ in range(local_blocks)),
            upsampling_layer(upsampling, 2 * features, features, kernel=3, bias=bias),
            norm_layer(norm, features),
            nn.ReLU(),
            nn.ReflectionPad2d(3),
            nn.Conv2d(features, outputs, 7),
            nn.Tanh(),
        )

    def forward(self, image: Tensor, fixed_global: bool = False) -> Tensor:
        """Translate `image`. With `fixed_global`, no gradient reaches the global generator."""
        check_size(image, "pix2pixhd-enhancer", multiple=self.multiple, minimum=self.minimum)
        smaller = F.avg_pool2d(image, 3, 2, 1, count_include_pad=False)
        coarse = self.model(smaller)
        if fixed_global:
            coarse = coarse.detach()
        result: Tensor = self.model1_2(self.model1_1(image) + coarse)
        return result

    def initial_state_from(self, state: Mapping[str, Tensor]) -> tuple[dict[str, Tensor], str] | None:
        """Convert the weights of a global generator, see `training.start.Adaptable`. Its last layers are left out."""
        if not state or not all(key.startswith("model.") for key in state):
            return None
        own = self.state_dict()
        inner = {key for key in own if key.startswith("model.")}
        lacking = [key for key in inner if key not in state or state[key].shape != own[key].shape]
        if lacking:
            raise CheckpointError(
                f"its global generator does not fit {min(lacking)}; a global generator of N features needs an enhancer "
                "of N / 2, and the same downs, blocks and inputs"
            )
        taken = {key: state[key] for key in inner}
        return own | taken, "gets an enhancer around the global generator"
