"""The discriminators of pix2pix. Each output judges one patch of the picture, or one pixel."""

from torch import Tensor, nn

from img2img.errors import ConfigError
from img2img.networks.blur_pool import BlurPool
from img2img.networks.norms import needs_bias, norm_layer
from img2img.networks.sizes import check_size


def receptive_field(layers: int) -> int:
    """Return the side in pixels of the patch that one output of a `PatchGAN` sees.

    16, 34, 70, 142, 286 and 574 for 1 to 6 layers.
    """
    field = 1
    for stride in (1, 1, *(2,) * layers):
        field = field * stride + 4 - stride
    return field


class PatchGAN(nn.Module):
    """Judges patches of a picture, each with one score.

    Isola et al. 2017, appendix 6.1.2, in the layout of `NLayerDiscriminator` (repository
    junyanz/pytorch-CycleGAN-and-pix2pix, `networks.py`).

    Args:
        inputs: channels; for a conditional discriminator, of both pictures together.
        features: channels of the first layer; they double with each layer, up to 8 * features.
        layers: convolutions with stride 2, 1 to 6. The paper's 70 x 70 patches need 3, see `receptive_field`.
        norm: "batch", "instance" or "none" (gradient penalties need "instance" or "none").
        blur: halve with `BlurPool` after convolutions with stride 1, as in CUT (Park et al. 2020).

    Input `[N, inputs, H, W]`, values -1..1, sides at least `minimum`; output `[N, 1, h, w]`, logits, high is real, with
    h = H // 2**layers - 2 and w likewise.

    Attributes:
        minimum: smallest side of a picture, in pixels.

    Raises:
        ConfigError: `layers` is out of range, or the norm is unknown.
    """

    def __init__(
        self, inputs: int = 3, features: int = 64, layers: int = 3, norm: str = "batch", blur: bool = False
    ) -> None:
        super().__init__()
        if not 1 <= layers <= 6:
            raise ConfigError(f"patchgan: layers = {layers} must be between 1 and 6")
        self.minimum = 3 * 2**layers
        halving = 1 if blur else 2
        sequence: list[nn.Module] = [nn.Conv2d(inputs, features, 4, halving, 1), nn.LeakyReLU(0.2)]
        sequence += [BlurPool(features)] if blur else []
        width = features
        for i in range(1, layers + 1):
            wider = features * min(2**i, 8)
            stride = halving if i < layers else 1
            sequence.append(nn.Conv2d(width, wider, 4, stride, 1, bias=needs_bias(norm)))
            sequence += [norm_layer(norm, wider), nn.LeakyReLU(0.2)]
            sequence += [BlurPool(wider)] if blur and i < layers else []
            width = wider
        sequence.append(nn.Conv2d(width, 1, 4, 1, 1))
        self.model = nn.Sequential(*sequence)

    def forward(self, image: Tensor) -> Tensor:
        check_size(image, "patchgan", minimum=self.minimum)
        logits: Tensor = self.model(image)
        return logits


class PixelGAN(nn.Module):
    """Judges every pixel on its own: a 1 x 1 discriminator.

    Isola et al. 2017, appendix 6.1.2, in the layout of `PixelDiscriminator` (repository
    junyanz/pytorch-CycleGAN-and-pix2pix, `networks.py`).

    Args:
        inputs: channels; for a conditional discriminator, of both pictures together.
        features: channels of the first layer. The second has twice as many.
        norm: "batch", "instance" or "none".

    Input `[N, inputs, H, W]`, values -1..1; output `[N, 1, H, W]`, logits, high is real.

    Raises:
        ConfigError: the norm is unknown.
    """

    def __init__(self, inputs: int = 3, features: int = 64, norm: str = "batch") -> None:
        super().__init__()
        self.net = nn.Sequential(
            nn.Conv2d(inputs, features, 1),
            nn.LeakyReLU(0.2),
            nn.Conv2d(features, 2 * features, 1, bias=needs_bias(norm)),
            norm_layer(norm, 2 * features),
            nn.LeakyReLU(0.2),
            nn.Conv2d(2 * features, 1, 1, bias=needs_bias(norm)),
        )

    def forward(self, image: Tensor) -> Tensor:
        logits: Tensor = self.net(image)
        return logits
