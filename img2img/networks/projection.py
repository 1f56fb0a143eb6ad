"""The projection discriminator: judges a picture together with its domain."""

from torch import Tensor, nn

from img2img.errors import ConfigError
from img2img.networks.norms import needs_bias, norm_layer
from img2img.networks.sizes import check_size


class ProjectionDiscriminator(nn.Module):
    """The two parts of the score psi(phi(x)) + y^T V phi(x) of a picture x with the label y.

    Miyato and Koyama 2018, equation 3. phi: convolutions with stride 2, then the sum over all places, as in the
    official code. psi: a linear layer. V: one vector per domain. The paper has spectral norm on all layers:
    `discriminator.spectral=true`.

    Args:
        domains: columns of the label.
        inputs: channels of the picture.
        features: channels of the first layer; they double with each layer, up to 8 * features.
        layers: convolutions with stride 2, 1 to 8.
        norm: "batch", "instance", "layer" or "none" (gradient penalties need one of the last three).

    Input `[N, inputs, H, W]`, values -1..1, sides at least `minimum`. Output psi(phi(x)) `[N, 1]` and V phi(x) `[N,
    domains]`. `labels.LogitRecorder` adds them up for a label, one-hot or with one column per attribute: logits, high
    is real.

    Attributes:
        projects: the second output is part of the score of a picture with a label.
        minimum: smallest side of a picture, in pixels.

    Raises:
        ConfigError: `layers` is out of range, or the norm is unknown.
    """

    projects = True

    def __init__(self, domains: int, inputs: int = 3, features: int = 64, layers: int = 5, norm: str = "none") -> None:
        super().__init__()
        if not 1 <= layers <= 8:
            raise ConfigError(f"projection: layers = {layers} must be between 1 and 8")
        self.minimum = 2 ** (layers + (norm == "instance"))  # instance norm needs more than one pixel
        sequence: list[nn.Module] = [nn.Conv2d(inputs, features, 4, 2, 1), nn.LeakyReLU(0.2)]
        width = features
        for i in range(1, layers):
            wider = features * min(2**i, 8)
            sequence.append(nn.Conv2d(width, wider, 4, 2, 1, bias=needs_bias(norm)))
            sequence += [norm_layer(norm, wider), nn.LeakyReLU(0.2)]
            width = wider
        self.phi = nn.Sequential(*sequence)
        self.psi = nn.Linear(width, 1)
        self.embedding = nn.Linear(width, domains, bias=False)

    def forward(self, image: Tensor) -> tuple[Tensor, Tensor]:
        check_size(image, "projection", minimum=self.minimum)
        features = self.phi(image).sum((2, 3))
        return self.psi(features), self.embedding(features)
