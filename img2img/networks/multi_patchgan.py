"""BicycleGAN's discriminator: PatchGANs that look at the picture at several scales."""

from typing import cast

from torch import Tensor, nn
from torch.nn import functional as F

from img2img.errors import ConfigError
from img2img.networks.patchgan import PatchGAN
from img2img.networks.sizes import check_size


class MultiPatchGAN(nn.Module):
    """PatchGANs on the picture and on ever smaller copies of it, each half as wide as the one before.

    Zhu et al. 2017 (BicycleGAN), section 4, in the layout of `D_NLayersMulti` (repository junyanz/BicycleGAN,
    `networks.py`).

    Args:
        inputs: channels; for a conditional discriminator, of both pictures together.
        features: channels of the first layer at full size.
        layers: convolutions with stride 2, 1 to 6; 3 for patches of 70 x 70 pixels, see `patchgan.receptive_field`.
        scales: number of discriminators. Each sees the picture at half the size of the previous one.
        norm: "instance", "batch", "layer" or "none".

    Input `[N, inputs, H, W]`, values -1..1, sides at least `minimum`. Output a list of `[N, 1, h, w]`, finest scale
    first, logits, high is real.

    Attributes:
        minimum: smallest side of a picture, in pixels.
        matching_share: weight of each layer in feature matching: the mean over the scales.

    Raises:
        ConfigError: `scales` is below 1, `layers` is out of range, or the norm is unknown.
        ValueError: from `forward`, the picture is too small.
    """

    def __init__(
        self, inputs: int = 3, features: int = 64, layers: int = 3, scales: int = 2, norm: str = "instance"
    ) -> None:
        super().__init__()
        if scales < 1:
            raise ConfigError(f"multi-patchgan: scales = {scales} must be at least 1")
        self.scales = scales
        self.matching_share = 1 / scales
        judges = [PatchGAN(inputs, max(features // 2**scale, 1), layers, norm) for scale in range(scales)]
        self.minimum = judges[0].minimum * 2 ** (scales - 1)
        for scale, judge in enumerate(judges):
            self.add_module(f"model{scale}", judge.model)

    def forward(self, image: Tensor) -> list[Tensor]:
        check_size(image, "multi-patchgan", minimum=self.minimum)
        scores = []
        for scale in range(self.scales):
            if scale:
                image = F.avg_pool2d(image, 3, 2, 1, count_include_pad=False)
            scores.append(cast(Tensor, self.get_submodule(f"model{scale}")(image)))
        return scores
