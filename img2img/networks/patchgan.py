"""The discriminators of pix2pix. Each output judges one patch of the picture, or one pixel."""

from torch import Tensor, nn

from img2img.errors import ConfigError
from img2img.networks.attention import SelfAttention
from img2img.networks.blur_pool import BlurPool
from img2img.networks.growing import Growth
from img2img.networks.minibatch import MinibatchDeviation
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
        norm: "batch", "instance", "layer" or "none" (gradient penalties need one of the last three).
        blur: halve with `BlurPool` after convolutions with stride 1, as in CUT (Park et al. 2020).
        attention: self-attention (Zhang et al. 2019) after the last halving, so that every score sees the whole
            picture. Needs 2 layers or more. Memory grows with the square of the pixels: 4 MiB for 256 px and 3 layers.
        minibatch: show the last layer the mean standard deviation of the batch (Karras et al. 2018, section 3), against
            a generator that makes one picture only. Needs batches of 2 or more.
        classes: logits of an auxiliary classifier (Odena et al. 2017), one linear layer on the mean features before
            the scores; 0: none. Only methods with domains use it, and there it is their number.
        growing: fractions of the training at which the sides double, see the setting `growing` of a method. Adds layers
            `growth.*`, which a fully grown network does not use.

    Input `[N, inputs, H, W]`, values -1..1, sides at least `minimum`; output `[N, 1, h, w]`, logits, high is real, with
    h = H // 2**layers - 2 and w likewise. With classes, a tuple of this and logits `[N, classes]`.

    Attributes:
        minimum: smallest side of a picture, in pixels.
        classifier_parts: the parts that only the classification uses.

    Raises:
        ConfigError: `layers` is out of range, or too low for attention; or the norm is unknown.
    """

    classifier_parts = ("classifier",)

    def __init__(
        self,
        inputs: int = 3,
        features: int = 64,
        layers: int = 3,
        norm: str = "batch",
        blur: bool = False,
        attention: bool = False,
        minibatch: bool = False,
        classes: int = 0,
        growing: tuple[float, ...] = (),
    ) -> None:
        super().__init__()
        if not 1 <= layers <= 6:
            raise ConfigError(f"patchgan: layers = {layers} must be between 1 and 6")
        if attention and layers < 2:
            raise ConfigError("patchgan: attention needs layers = 2 or more; one halving leaves too large a map")
        self.minimum = 3 * 2**layers
        halving = 1 if blur else 2
        sequence: list[nn.Module] = [nn.Conv2d(inputs, features, 4, halving, 1), nn.LeakyReLU(0.2)]
        sequence += [BlurPool(features)] if blur else []
        self.entries, widths = [0, len(sequence)], [inputs, features]
        width = features
        for i in range(1, layers + 1):
            wider = features * min(2**i, 8)
            stride = halving if i < layers else 1
            sequence.append(nn.Conv2d(width, wider, 4, stride, 1, bias=needs_bias(norm)))
            sequence += [norm_layer(norm, wider), nn.LeakyReLU(0.2)]
            sequence += [BlurPool(wider)] if blur and i < layers else []
            sequence += [SelfAttention(wider)] if attention and i == layers - 1 else []
            self.entries.append(len(sequence))
            widths.append(wider)
            width = wider
        self.judged = len(sequence)
        sequence += [MinibatchDeviation()] if minibatch else []
        sequence.append(nn.Conv2d(width + minibatch, 1, 4, 1, 1))
        self.model = nn.Sequential(*sequence)
        self.classifier = nn.Linear(width, classes) if classes else None
        # The last convolution of the loop does not halve.
        self.growth = Growth("patchgan", growing, inputs, widths[: layers + 1]) if growing else None

    def forward(self, image: Tensor) -> Tensor | tuple[Tensor, Tensor]:
        check_size(image, "patchgan", minimum=self.minimum)
        start, hidden = self._entered(image)
        if self.classifier is None:
            scores: Tensor = self.model[start:](hidden) if start else self.model(hidden)
            return scores
        hidden = self.model[start : self.judged](hidden)
        return self.model[self.judged :](hidden), self.classifier(hidden.mean((2, 3)))

    def _entered(self, image: Tensor) -> tuple[int, Tensor]:
        """Return the place of the first layer to run, and its input: the picture if the network is fully grown."""
        if self.growth is None or not self.growth.missing():
            return 0, image
        level, _, _, features = self.growth.encode(
            image, lambda level, given: self.model[self.entries[level] : self.entries[level + 1]](given)
        )
        return self.entries[level], features


class PixelGAN(nn.Module):
    """Judges every pixel on its own: a 1 x 1 discriminator.

    Isola et al. 2017, appendix 6.1.2, in the layout of `PixelDiscriminator` (repository
    junyanz/pytorch-CycleGAN-and-pix2pix, `networks.py`).

    Args:
        inputs: channels; for a conditional discriminator, of both pictures together.
        features: channels of the first layer. The second has twice as many.
        norm: "batch", "instance", "layer" or "none".

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
