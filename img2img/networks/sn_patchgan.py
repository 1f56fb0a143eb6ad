"""SN-PatchGAN, the discriminator of free-form inpainting: a score for every position, with spectral norm."""

from torch import Tensor, nn
from torch.nn import functional as F

from img2img.errors import ConfigError
from img2img.networks.spectral_conv import SpectralConv2d


class SNPatchGAN(nn.Module):
    """Spectrally normalised 5x5 convolutions with stride 2 and leaky ReLU. Every value of the last output is a score.

    Yu et al. 2019 (gated convolution), section 3.3: six layers of 64, 128, 256, 256, 256 and 256 channels. The hinge
    loss covers every value of the last map. Each value judges one feature at one position, so holes need no second,
    local discriminator. Uses torch's default initialisation; spectral norm divides its scale out.

    Args:
        inputs: channels of picture and mask together.
        features: channels of the first layer.
        layers: convolutions. The map is 2^layers times smaller than the picture.

    Input `[N, inputs, H, W]` of any size: the picture, -1..1, and the mask, 1 = filled, concatenated. Output
    `[N, channels of the last layer, H / 2^layers, W / 2^layers]`, rounded up.

    Raises:
        ConfigError: `layers` is below 1.
    """

    def __init__(self, inputs: int = 4, features: int = 64, layers: int = 6) -> None:
        super().__init__()
        if layers < 1:
            raise ConfigError(f"sn-patchgan: layers = {layers} must be at least 1")
        widths = [inputs, *(features * min(2**i, 4) for i in range(layers))]
        for i in range(layers):
            self.add_module(f"conv{i + 1}", SpectralConv2d(widths[i], widths[i + 1], 5, 2, 2))

    def forward(self, image: Tensor) -> Tensor:
        hidden = image
        for convolution in self.children():
            hidden = F.leaky_relu(convolution(hidden), 0.2)
        return hidden
