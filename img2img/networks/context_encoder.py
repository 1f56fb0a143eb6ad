"""The context encoder, which fills a hole from all of the picture through a narrow code, and its discriminator."""

from itertools import pairwise
from typing import Literal

from torch import Tensor, nn

from img2img.errors import ConfigError
from img2img.networks.norms import biased, normalisation
from img2img.networks.sizes import check_size
from img2img.networks.upsampling import upsampling as doubling


class ContextEncoder(nn.Module):
    """Strided convolutions down to 4 x 4, a code of one pixel, and doublings up again.

    Pathak et al. 2016, section 3 and figure 9, in the layout of the PyTorch port (repository
    BoyuanJiang/context_encoder_pytorch, `model.py`). Published for the 64 x 64 centre of a 128 x 128 picture;
    `output="whole"` gives the decoder one doubling more, for holes anywhere (Iizuka et al. 2017 ask the network
    for the whole picture and paste it into the hole).

    The official weights start from N(0, 0.02), batch norm's from N(1, 0.02): `initialise(network, "normal", 0.02)`.
    In training a batch needs two pictures or more where the code is one pixel, for it has a batch norm.

    Args:
        inputs: channels of the masked picture; the mask may be one of them.
        outputs: channels of the result.
        features: channels of the first layer.
        bottleneck: channels of the code.
        size: side for which the code is one pixel, a power of two, 16 or more.
        output: "centre" or "whole".
        upsampling: "transpose" or "resize", for the doublings; the step from the code to 4 x 4 stays transposed.

    Input `[N, inputs, H, W]`, -1..1, H and W multiples of size / 4 and not below `size`: a larger picture has a code
    of more pixels. Output `[N, outputs, H, W]`, or of half that size for the centre; -1..1.

    Attributes:
        multiple, minimum: of H and W.

    Raises:
        ConfigError: `size`, `output` or `upsampling` is none of those above.
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
            raise ConfigError(f"context-encoder has output 'centre' or 'whole', not '{output}'")
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
            layers += [doubling(upsampling, wide, narrower, bias=False), nn.BatchNorm2d(narrower), nn.ReLU()]
        layers += [doubling(upsampling, widths[-1], outputs, bias=False), nn.Tanh()]
        self.main = nn.Sequential(*layers)

    def forward(self, image: Tensor) -> Tensor:
        check_size(image, "context-encoder", multiple=self.multiple, minimum=self.minimum)
        result: Tensor = self.main(image)
        return result


class DCGANDiscriminator(nn.Module):
    """One score a picture: strided convolutions down to 4 x 4, and one of 4 x 4 pixels.

    Radford et al. 2016, section 3; the context encoder's adversary (Pathak et al. 2016, section 3.3), global on the
    whole picture or local on the hole. The layout of `_netlocalD` (repository BoyuanJiang/context_encoder_pytorch,
    `model.py`), without its sigmoid. The official weights start from N(0, 0.02), batch norm's from N(1, 0.02):
    `initialise(network, "normal", 0.02)`.

    Args:
        inputs: channels of the picture.
        size: side of the square pictures, a power of two, 8 or more.
        features: channels of the first layer; they double at each one, up to 8 * features.
        norm: "batch", "instance" or "none" (gradient penalties ask for "instance" or "none").

    Input `[N, inputs, size, size]`, -1..1; output `[N, 1]`, logits, high is real.

    Raises:
        ConfigError: `size` or `norm` is none of those above.
    """

    def __init__(self, inputs: int = 3, size: int = 64, features: int = 64, norm: str = "batch") -> None:
        super().__init__()
        halvings = _halvings("dcgan", size, least=8)
        self.size = size
        layers: list[nn.Module] = [nn.Conv2d(inputs, features, 4, 2, 1, bias=False), nn.LeakyReLU(0.2)]
        width = features
        for i in range(1, halvings):
            wider = features * min(2**i, 8)
            layers.append(nn.Conv2d(width, wider, 4, 2, 1, bias=biased(norm)))
            layers += [normalisation(norm, wider), nn.LeakyReLU(0.2)]
            width = wider
        layers.append(nn.Conv2d(width, 1, 4, bias=False))
        self.main = nn.Sequential(*layers)

    def forward(self, image: Tensor) -> Tensor:
        height, width = image.shape[-2:]
        if (height, width) != (self.size, self.size):
            raise ValueError(f"dcgan is made for {self.size} x {self.size}, the picture is {height} x {width}")
        return self.main(image).flatten(1)  # type: ignore[no-any-return]


def _halvings(network: str, size: int, least: int) -> int:
    """How often `size` is halved until it is 4."""
    if size < least or size & (size - 1):
        raise ConfigError(f"{network} needs a size that is a power of two, {least} or more, not {size}")
    return size.bit_length() - 3
