"""The context encoder, which fills a hole from the whole picture through a narrow code, and its discriminator."""

from itertools import pairwise
from typing import Literal

from torch import Tensor, nn

from img2img.errors import ConfigError
from img2img.networks.minibatch import MinibatchDeviation
from img2img.networks.norms import needs_bias, norm_layer
from img2img.networks.sizes import check_size
from img2img.networks.upsampling import upsampling_layer


class ContextEncoder(nn.Module):
    """Strided convolutions down to 4 x 4, a code of one pixel, and doublings back up.

    Pathak et al. 2016, section 3 and figure 9, in the layout of the PyTorch port (repository
    BoyuanJiang/context_encoder_pytorch, `model.py`). Published for the 64 x 64 centre of a 128 x 128 picture.
    `output="whole"` adds one doubling to the decoder, for holes anywhere (Iizuka et al. 2017 predict the whole picture
    and paste the result into the hole).

    The official weights start from N(0, 0.02), batch norm weights from N(1, 0.02):
    `initialise(network, "normal", 0.02)`. The code has a batch norm, so training needs batches of at least two pictures
    if the code is one pixel.

    Args:
        inputs: channels of the masked picture; the mask may be one of them.
        outputs: channels of the result.
        features: channels of the first layer.
        bottleneck: channels of the code.
        size: the side at which the code is one pixel, a power of two, at least 16.
        output: "centre" or "whole".
        upsampling: "transpose" or "resize", for the doublings. The step from the code to 4 x 4 is always transposed.

    Input `[N, inputs, H, W]`, -1..1. H and W are multiples of size / 4 and at least `size`; a larger picture has a code
    of more pixels. Output `[N, outputs, H, W]`, or half that size for the centre; -1..1.

    Attributes:
        multiple, minimum: constraints on H and W.

    Raises:
        ConfigError: `size`, `output` or `upsampling` has another value.
    """

    def __init__(
        self,
        inputs: int = 3,
        outputs: int = 3,
        features: int = 64,
        bottleneck: int = 4000,
        size: int = 128,
        output: Literal["centre", "whole"] = "centre",
        upsampling: str = "transpose",
    ) -> None:
        super().__init__()
        if output not in ("centre", "whole"):
            raise ConfigError(f"context-encoder: output must be 'centre' or 'whole', not '{output}'")
        halvings = _halvings("context-encoder", size, least=16)
        self.multiple, self.minimum = 2**halvings, size
        widths = [features, *(features * min(2**i, 8) for i in range(halvings - 1))]

        layers: list[nn.Module] = [nn.Conv2d(inputs, features, 4, 2, 1, bias=False), nn.LeakyReLU(0.2)]
        for wide, wider in pairwise(widths):
            layers += [nn.Conv2d(wide, wider, 4, 2, 1, bias=False), nn.BatchNorm2d(wider), nn.LeakyReLU(0.2)]
        layers += [nn.Conv2d(widths[-1], bottleneck, 4, bias=False), nn.BatchNorm2d(bottleneck), nn.LeakyReLU(0.2)]

        widths = widths[::-1] if output == "whole" else widths[:0:-1]
        layers += [nn.ConvTranspose2d(bottleneck, widths[0], 4, bias=False), nn.BatchNorm2d(widths[0]), nn.ReLU()]
        for wide, narrower in pairwise(widths):
            layers += [upsampling_layer(upsampling, wide, narrower, bias=False), nn.BatchNorm2d(narrower), nn.ReLU()]
        layers += [upsampling_layer(upsampling, widths[-1], outputs, bias=False), nn.Tanh()]
        self.main = nn.Sequential(*layers)

    def forward(self, image: Tensor) -> Tensor:
        check_size(image, "context-encoder", multiple=self.multiple, minimum=self.minimum)
        result: Tensor = self.main(image)
        return result


class DCGANDiscriminator(nn.Module):
    """One score per picture: strided convolutions down to 4 x 4, then one 4 x 4 convolution.

    Radford et al. 2016, section 3; the context encoder's discriminator (Pathak et al. 2016, section 3.3), global on the
    whole picture or local on the hole. The layout of `_netlocalD` (repository BoyuanJiang/context_encoder_pytorch,
    `model.py`) without its sigmoid. The official weights start from N(0, 0.02), those of batch norm from N(1, 0.02):
    `initialise(network, "normal", 0.02)`.

    Args:
        inputs: channels of the picture.
        size: side of the square pictures, a power of two, at least 8.
        features: channels of the first layer; they double with each layer, up to 8 * features.
        norm: "batch", "instance", "layer" or "none" (gradient penalties need one of the last three).
        minibatch: show the last layer the mean standard deviation of the batch (Karras et al. 2018, section 3), against
            a generator that makes one picture only. Needs batches of 2 or more.
        classes: logits of an auxiliary classifier (Odena et al. 2017), one linear layer on the features before the
            score; 0: none. Only methods with domains use it, and there it is their number.
        outputs: scores per picture. Only methods that tell more than real and fake apart use it.

    Input `[N, inputs, size, size]`, -1..1; output `[N, outputs]`, logits, high is real. With classes, a tuple of this
    and logits `[N, classes]`.

    Attributes:
        classifier_parts: the parts that only the classification uses.
        matched: name of the layer whose activations CVAE-GAN matches: the input of the last convolution with stride
            (Bao et al. 2017), 8 x 8 pixels.

    Raises:
        ConfigError: `size` or `norm` has another value.
    """

    classifier_parts = ("classifier",)

    def __init__(
        self,
        inputs: int = 3,
        size: int = 64,
        features: int = 64,
        norm: str = "batch",
        minibatch: bool = False,
        classes: int = 0,
        outputs: int = 1,
    ) -> None:
        super().__init__()
        halvings = _halvings("dcgan", size, least=8)
        self.size = size
        layers: list[nn.Module] = [nn.Conv2d(inputs, features, 4, 2, 1, bias=False), nn.LeakyReLU(0.2)]
        width = features
        for i in range(1, halvings):
            wider = features * min(2**i, 8)
            layers.append(nn.Conv2d(width, wider, 4, 2, 1, bias=needs_bias(norm)))
            layers += [norm_layer(norm, wider), nn.LeakyReLU(0.2)]
            width = wider
        self.judged = len(layers)
        self.matched = f"main.{max(self.judged - 4, 1)}"
        layers += [MinibatchDeviation()] if minibatch else []
        layers.append(nn.Conv2d(width + minibatch, outputs, 4, bias=False))
        self.main = nn.Sequential(*layers)
        self.classifier = nn.Linear(16 * width, classes) if classes else None

    def forward(self, image: Tensor) -> Tensor | tuple[Tensor, Tensor]:
        height, width = image.shape[-2:]
        if (height, width) != (self.size, self.size):
            raise ValueError(f"dcgan needs {self.size} x {self.size} pictures, not {height} x {width} (height x width)")
        if self.classifier is None:
            scores: Tensor = self.main(image).flatten(1)
            return scores
        hidden = self.main[: self.judged](image)
        return self.main[self.judged :](hidden).flatten(1), self.classifier(hidden.flatten(1))


def _halvings(network: str, size: int, least: int) -> int:
    """Return how often `size` can be halved until it is 4."""
    if size < least or size & (size - 1):
        raise ConfigError(f"{network}: size = {size} must be a power of two, at least {least}")
    return size.bit_length() - 3
