"""The domain transfer network: a feature network f, and a decoder g from its features to pictures."""

from torch import Tensor, nn

from img2img.errors import ConfigError
from img2img.networks.norms import norm_layer
from img2img.networks.sizes import check_size


class FeatureNetwork(nn.Module):
    """f: from a picture to a short vector of features.

    Taigman et al. 2017 (DTN), section 5.1: convolutions that halve the size, then one that covers what is left. A
    larger picture has one vector per place.

    Args:
        inputs: channels of the picture.
        size: the side at which there is one vector, a power of two, at least 16.
        features: channels of the first layer; they double with each layer.
        code: numbers of the vector.

    Input `[N, inputs, H, W]`, -1..1, H and W multiples of `multiple` and at least `minimum`; output
    `[N, code, H / multiple - 3, W / multiple - 3]`, -1..1.

    Attributes:
        multiple, minimum: constraints on H and W, in pixels.
        code: numbers of the vector.

    Raises:
        ConfigError: `size` has another value.
    """

    def __init__(self, inputs: int = 3, size: int = 64, features: int = 64, code: int = 128) -> None:
        super().__init__()
        if size < 16 or size & (size - 1):
            raise ConfigError(f"dtn-features: size = {size} must be a power of two, at least 16")
        self.multiple, self.minimum = size // 4, size
        self.code = code
        layers: list[nn.Module] = []
        width, wider = inputs, features
        while size > 4:
            layers += [nn.Conv2d(width, wider, 3, 2, 1), norm_layer("batch", wider), nn.ReLU()]
            width, wider, size = wider, 2 * wider, size // 2
        self.layers = nn.Sequential(*layers, nn.Conv2d(width, code, 4), norm_layer("batch", code), nn.Tanh())

    def forward(self, image: Tensor) -> Tensor:
        check_size(image, "dtn-features", multiple=self.multiple, minimum=self.minimum)
        features: Tensor = self.layers(image)
        return features


class FeatureDecoder(nn.Module):
    """g: from the features to a picture, by transposed convolutions (section 5.1).

    Args:
        outputs: channels of the picture.
        size: side of the picture of one vector, as for `FeatureNetwork`.
        features: channels of the last layer but one; twice as many in each layer before it.
        code: numbers of the vector.

    Input `[N, code, h, w]`; output `[N, outputs, (h + 3) * size / 4, (w + 3) * size / 4]`, -1..1.
    """

    def __init__(self, outputs: int = 3, size: int = 64, features: int = 64, code: int = 128) -> None:
        super().__init__()
        doublings = size.bit_length() - 3
        width = features * 2 ** (doublings - 1)
        layers: list[nn.Module] = [nn.ConvTranspose2d(code, width, 4), norm_layer("batch", width), nn.ReLU()]
        for _ in range(doublings - 1):
            layers += [nn.ConvTranspose2d(width, width // 2, 4, 2, 1), norm_layer("batch", width // 2), nn.ReLU()]
            width //= 2
        self.layers = nn.Sequential(*layers, nn.ConvTranspose2d(width, outputs, 4, 2, 1), nn.Tanh())

    def forward(self, code: Tensor) -> Tensor:
        picture: Tensor = self.layers(code)
        return picture


class TransferNetwork(nn.Module):
    """G = g of f: `[N, inputs, H, W]` to `[N, outputs, H, W]`, both -1..1 (equation 2)."""

    def __init__(self, features: FeatureNetwork, decoder: nn.Module) -> None:
        super().__init__()
        self.multiple, self.minimum = features.multiple, features.minimum
        self.features, self.decoder = features, decoder

    def forward(self, image: Tensor) -> Tensor:
        picture: Tensor = self.decoder(self.features(image))
        return picture
