"""UNIT: the auto-encoders of two domains, whose codes mean the same."""

from torch import Tensor, nn

from img2img.errors import ConfigError
from img2img.networks.munit import contraction, expansion
from img2img.networks.resnet import ResNetBlock
from img2img.networks.sizes import check_size


class UNITGenerator(nn.Module):
    """The auto-encoder of one domain.

    Liu et al. 2017 (UNIT), section 3 and appendix, with the layers of the authors' later code, which MUNIT describes
    (Huang et al. 2018, appendix B.2).

    Args:
        inputs, outputs: channels of the two pictures.
        features: channels at full size; they double with each halving.
        downs: halvings.
        blocks: residual blocks of the encoder, and of the decoder.
        shared: how many of these blocks the two domains share: the last ones of the encoders and the first ones of the
            decoders. They are a network of their own, `SharedLatent`.

    Attributes:
        multiple, minimum: constraints on H and W, in pixels.
        width: channels of the code.
        blocks: residual blocks of encoder and decoder, without the shared ones.

    Raises:
        ConfigError: there is no halving, or more blocks are shared than there are.
    """

    def __init__(
        self, inputs: int = 3, outputs: int = 3, features: int = 64, downs: int = 2, blocks: int = 4, shared: int = 0
    ) -> None:
        super().__init__()
        if downs < 1:
            raise ConfigError(f"unit: downs = {downs} must be at least 1")
        if shared > blocks:
            raise ConfigError(f"unit: shared = {shared} of blocks = {blocks} residual blocks; share fewer")
        self.multiple = 2**downs
        self.minimum = 2 * self.multiple  # reflection padding by one pixel needs two
        self.width = features * 2**downs
        own = blocks - shared
        self.encoder = nn.Sequential(*contraction(inputs, features, downs), *residual_blocks(self.width, own))
        self.decoder = nn.Sequential(*residual_blocks(self.width, own), *expansion(outputs, features, downs))

    def encode(self, image: Tensor) -> Tensor:
        """Return the code of a picture `[N, inputs, H, W]` in -1..1: `[N, width, H / multiple, W / multiple]`.

        Raises:
            ValueError: H or W is not a multiple of `multiple`, or below `minimum`.
        """
        check_size(image, "unit", multiple=self.multiple, minimum=self.minimum)
        code: Tensor = self.encoder(image)
        return code

    def decode(self, code: Tensor) -> Tensor:
        """Return the picture `[N, outputs, H, W]` in -1..1 of a code."""
        picture: Tensor = self.decoder(code)
        return picture

    def forward(self, image: Tensor) -> Tensor:
        return self.decode(self.encode(image))


class SharedLatent(nn.Module):
    """The layers that both domains share (section 3, "weight-sharing constraint"). They keep the shape of the code.

    Args:
        width: channels of the code.
        blocks: residual blocks after the encoders, and before the decoders.
    """

    def __init__(self, width: int, blocks: int = 1) -> None:
        super().__init__()
        self.encoder = nn.Sequential(*residual_blocks(width, blocks))
        self.decoder = nn.Sequential(*residual_blocks(width, blocks))


class UNITTranslator(nn.Module):
    """The way from one domain to the other, `[N, C, H, W]` to `[N, C, H, W]`, both in -1..1.

    The code is its mean: the noise that training adds is left out.

    Args:
        source, target: the auto-encoders of the two domains.
        shared: the layers that they share, if there are any.
    """

    def __init__(self, source: UNITGenerator, target: UNITGenerator, shared: SharedLatent | None) -> None:
        super().__init__()
        self.multiple, self.minimum = source.multiple, source.minimum
        middle = [] if shared is None else [shared.encoder, shared.decoder]
        self.layers = nn.Sequential(source.encoder, *middle, target.decoder)

    def forward(self, image: Tensor) -> Tensor:
        check_size(image, "unit", multiple=self.multiple, minimum=self.minimum)
        picture: Tensor = self.layers(image)
        return picture


def residual_blocks(width: int, count: int) -> list[ResNetBlock]:
    """Return blocks with instance norm that keep the shape `[N, width, H, W]`."""
    return [ResNetBlock(width, norm="instance", dropout=False) for _ in range(count)]
