"""pix2pixHD's discriminator: patch discriminators that look at the picture at several scales."""

from collections.abc import Mapping

from torch import Tensor, nn
from torch.nn import functional as F

from img2img.errors import ConfigError
from img2img.networks.norms import norm_layer
from img2img.networks.sizes import check_size


class MultiScale(nn.Module):
    """Identical patch discriminators with separate weights, on the picture and on ever smaller copies of it.

    Wang et al. 2018 (pix2pixHD), section 3.2, in the layout of `MultiscaleDiscriminator` with intermediate features
    (repository NVIDIA/pix2pixHD, `networks.py`): `scaleS_layerL`; the highest S sees the picture at full size. The
    official weights start from N(0, 0.02): `initialise(network, "normal", 0.02)`.

    Args:
        inputs: channels; for a conditional discriminator, of both pictures together.
        features: channels of the first layer; they double with each layer, up to 512.
        layers: convolutions with stride 2 in each discriminator.
        scales: number of discriminators. Each sees the picture at half the size of the previous one.
        norm: "instance", "batch", "layer" or "none".

    Input `[N, inputs, H, W]`, values -1..1, sides at least `minimum`. Output a list of `[N, 1, h, w]`, finest scale
    first, unbounded, high is real.

    Attributes:
        minimum: smallest side of a picture, in pixels.
        matching_share: weight of each layer in feature matching. 4 / (layers + 1) / scales, as in the official code
            (`pix2pixHD_model.py`): the mean over the discriminators.

    Raises:
        ConfigError: `layers` or `scales` is below 1, or the norm is unknown.
    """

    def __init__(
        self, inputs: int = 3, features: int = 64, layers: int = 3, scales: int = 2, norm: str = "instance"
    ) -> None:
        super().__init__()
        if layers < 1 or scales < 1:
            raise ConfigError(f"multi-scale: layers = {layers} and scales = {scales} must be at least 1")
        self.layers, self.scales = layers, scales
        self.minimum = 2**scales
        self.matching_share = 4 / (layers + 1) / scales
        for scale in range(scales):
            for i, layer in enumerate(_discriminator(inputs, features, layers, norm)):
                self.add_module(f"scale{scale}_layer{i}", layer)

    def features(self, image: Tensor) -> list[list[Tensor]]:
        """Return the outputs of every layer of every discriminator, for feature matching (section 3.3).

        Finest scale first; the last output of each scale is its score map.
        """
        check_size(image, "multi-scale", minimum=self.minimum)
        everything = []
        for scale in reversed(range(self.scales)):
            seen = [image]
            for i in range(self.layers + 2):
                seen.append(self.get_submodule(f"scale{scale}_layer{i}")(seen[-1]))
            everything.append(seen[1:])
            if scale:
                image = F.avg_pool2d(image, 3, 2, 1, count_include_pad=False)
        return everything

    def initial_state_from(self, state: Mapping[str, Tensor]) -> tuple[dict[str, Tensor], str] | None:
        """Convert the weights of a network with fewer scales, see `training.start.Adaptable`.

        They become the coarser scales, so that each discriminator still sees the size for which it was trained, as in
        the official code.
        """
        own = self.state_dict()
        if state.keys() >= own.keys() or not state.keys() <= own.keys():
            return None
        if any(state[key].shape != own[key].shape for key in state):
            return None
        return own | dict(state), "gets finer scales"

    def forward(self, image: Tensor) -> list[Tensor]:
        return [layers[-1] for layers in self.features(image)]


def _discriminator(inputs: int, features: int, layers: int, norm: str) -> list[nn.Sequential]:
    sequence = [nn.Sequential(nn.Conv2d(inputs, features, 4, 2, 2), nn.LeakyReLU(0.2))]
    width = features
    for i in range(1, layers + 1):
        wider = min(2 * width, 512)
        convolution = nn.Conv2d(width, wider, 4, 2 if i < layers else 1, 2)
        sequence.append(nn.Sequential(convolution, norm_layer(norm, wider), nn.LeakyReLU(0.2)))
        width = wider
    return [*sequence, nn.Sequential(nn.Conv2d(width, 1, 4, 1, 2))]
