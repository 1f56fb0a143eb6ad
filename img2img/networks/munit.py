"""MUNIT: a picture as content (where things are) and style (what they look like), and back."""

from torch import Tensor, nn

from img2img.errors import ConfigError
from img2img.networks.adain import AdaINBlock, StyleStatistics
from img2img.networks.norms import norm_layer
from img2img.networks.resnet import ResNetBlock
from img2img.networks.sizes import check_size


class ContentEncoder(nn.Module):
    """Halvings and residual blocks with instance norm, which removes the style.

    Huang et al. 2018 (MUNIT), section 5.1 and appendix B.2.

    Input `[N, inputs, H, W]`, -1..1, H and W multiples of `multiple` and at least `minimum`; output
    `[N, features * multiple, H / multiple, W / multiple]`.
    """

    def __init__(self, inputs: int, features: int, downs: int, blocks: int) -> None:
        super().__init__()
        self.multiple = 2**downs
        self.minimum = 2 * self.multiple  # reflection padding by one pixel needs two
        width = features * self.multiple
        residual = [ResNetBlock(width, norm="instance", dropout=False) for _ in range(blocks)]
        self.layers = nn.Sequential(*contraction(inputs, features, downs), *residual)

    def forward(self, image: Tensor) -> Tensor:
        check_size(image, "munit", multiple=self.multiple, minimum=self.minimum)
        content: Tensor = self.layers(image)
        return content


class StyleEncoder(nn.Module):
    """Halvings and a global mean. There is no norm, which would remove the style (section 5.1, appendix B.2).

    Input `[N, inputs, H, W]`, -1..1, sides at least `minimum`; output `[N, style]`.
    """

    def __init__(self, inputs: int, features: int, downs: int, style: int) -> None:
        super().__init__()
        self.minimum = max(2**downs, 4)
        layers: list[nn.Module] = [nn.ReflectionPad2d(3), nn.Conv2d(inputs, features, 7), nn.ReLU()]
        width = features
        for number in range(downs):
            wider = features * min(2 ** (number + 1), 4)
            layers += [nn.ReflectionPad2d(1), nn.Conv2d(width, wider, 4, 2), nn.ReLU()]
            width = wider
        self.layers = nn.Sequential(*layers, nn.AdaptiveAvgPool2d(1), nn.Conv2d(width, style, 1))

    def forward(self, image: Tensor) -> Tensor:
        check_size(image, "the style encoder of munit", minimum=self.minimum)
        style: Tensor = self.layers(image)
        return style.flatten(1)


class Decoder(nn.Module):
    """Residual blocks with adaptive instance norm, then doublings (section 5.1, appendix B.2).

    Input the content `[N, features * 2**downs, h, w]` and the style `[N, style]`; output `[N, outputs, H, W]`, -1..1.
    """

    def __init__(self, outputs: int, features: int, downs: int, blocks: int, style: int) -> None:
        super().__init__()
        width = features * 2**downs
        self.statistics = StyleStatistics(style, width, blocks)
        self.blocks = nn.ModuleList(AdaINBlock(width) for _ in range(blocks))
        self.layers = nn.Sequential(*expansion(outputs, features, downs))

    def forward(self, content: Tensor, style: Tensor) -> Tensor:
        hidden = content
        for block, statistics in zip(self.blocks, self.statistics(style), strict=True):
            hidden = block(hidden, statistics)
        picture: Tensor = self.layers(hidden)
        return picture


class MUNITGenerator(nn.Module):
    """The auto-encoder of one domain: `content_encoder`, `style_encoder` and `decoder`.

    Args:
        inputs, outputs: channels of the two pictures.
        features: channels at full size; they double with each halving.
        downs: halvings of the content encoder.
        blocks: residual blocks of the content encoder, and of the decoder.
        style: numbers of the style code.
        style_downs: halvings of the style encoder.

    Input a picture `[N, inputs, H, W]`, -1..1, H and W multiples of `multiple` and at least `minimum`, and a style
    `[N, style]`; output the picture in that style, `[N, outputs, H, W]`, -1..1.

    Attributes:
        multiple, minimum: constraints on H and W, in pixels.
        style: numbers of the style code.

    Raises:
        ConfigError: there is no halving, residual block or style.
    """

    def __init__(
        self,
        inputs: int = 3,
        outputs: int = 3,
        features: int = 64,
        downs: int = 2,
        blocks: int = 4,
        style: int = 8,
        style_downs: int = 4,
    ) -> None:
        super().__init__()
        if min(downs, blocks, style, style_downs) < 1:
            raise ConfigError(
                f"munit: downs = {downs}, blocks = {blocks}, style = {style} and style_downs = {style_downs} must be "
                "at least 1"
            )
        self.style = style
        self.content_encoder = ContentEncoder(inputs, features, downs, blocks)
        self.multiple, self.minimum = self.content_encoder.multiple, self.content_encoder.minimum
        self.style_encoder = StyleEncoder(inputs, features, style_downs, style)
        self.decoder = Decoder(outputs, features, downs, blocks, style)

    def forward(self, image: Tensor, style: Tensor) -> Tensor:
        picture: Tensor = self.decoder(self.content_encoder(image), style)
        return picture


class MUNITTranslator(nn.Module):
    """The way from one domain to the other with a style code: `[N, C, H, W]` and `[N, style]` to `[N, C, H, W]`."""

    def __init__(self, source: MUNITGenerator, target: MUNITGenerator) -> None:
        super().__init__()
        self.multiple, self.minimum = source.multiple, source.minimum
        self.content_encoder, self.decoder = source.content_encoder, target.decoder

    def forward(self, image: Tensor, style: Tensor) -> Tensor:
        picture: Tensor = self.decoder(self.content_encoder(image), style)
        return picture


class ReferenceTranslator(MUNITTranslator):
    """The way from one domain to the other with the style of a picture of the other, of any size above `minimum` of its
    encoder: `[N, C, H, W]` and `[N, C, h, w]` to `[N, C, H, W]`, all in -1..1.
    """

    def __init__(self, source: MUNITGenerator, target: MUNITGenerator) -> None:
        super().__init__(source, target)
        self.style_encoder = target.style_encoder

    def forward(self, image: Tensor, reference: Tensor) -> Tensor:
        return super().forward(image, self.style_encoder(reference))


def contraction(inputs: int, features: int, downs: int) -> list[nn.Module]:
    """Return the first layers of a content encoder: conv 7x7, then conv 4x4 with stride 2, each with instance norm and
    ReLU. From `[N, inputs, H, W]` to `[N, features * 2**downs, H / 2**downs, W / 2**downs]`.
    """
    layers: list[nn.Module] = [nn.ReflectionPad2d(3), nn.Conv2d(inputs, features, 7), norm_layer("instance", features)]
    layers.append(nn.ReLU())
    for width in (features * 2**i for i in range(downs)):
        layers += [nn.ReflectionPad2d(1), nn.Conv2d(width, 2 * width, 4, 2), norm_layer("instance", 2 * width)]
        layers.append(nn.ReLU())
    return layers


def expansion(outputs: int, features: int, downs: int) -> list[nn.Module]:
    """Return the last layers of a decoder: nearest resize, conv 5x5, layer norm, ReLU; at the end conv 7x7 and tanh."""
    layers: list[nn.Module] = []
    for width in (features * 2**i for i in range(downs, 0, -1)):
        layers += [nn.Upsample(scale_factor=2.0, mode="nearest"), nn.ReflectionPad2d(2)]
        layers += [nn.Conv2d(width, width // 2, 5), norm_layer("layer", width // 2), nn.ReLU()]
    return [*layers, nn.ReflectionPad2d(3), nn.Conv2d(features, outputs, 7), nn.Tanh()]
