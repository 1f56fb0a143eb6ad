"""Vectors as an input of convolutional networks: each number becomes a constant plane beside the picture."""

import torch
from torch import Tensor, nn


def append_planes(image: Tensor, vector: Tensor) -> Tensor:
    """Return `image` `[N, C, H, W]` with the numbers of `vector` `[N, L]` as constant planes: `[N, C + L, H, W]`."""
    planes = vector[:, :, None, None].to(image).expand(-1, -1, image.shape[2], image.shape[3])
    return torch.cat((image, planes), 1)


class LatentInput(nn.Module):
    """A generator with a latent code as a second input, which becomes constant planes beside the picture.

    Zhu et al. 2017 (BicycleGAN), section 3.4 and figure 3a, "add_to_input". Nothing here is random: the caller draws
    the code.

    Args:
        generator: takes `[N, channels of the picture + latent, H, W]`.
        latent: length of the code.

    Input a picture `[N, C, H, W]`, values -1..1, and a code `[N, latent]`. Output that of the generator.

    Attributes:
        multiple, minimum: constraints on H and W, in pixels: those of the generator.
        latent: length of the code.
    """

    def __init__(self, generator: nn.Module, latent: int) -> None:
        super().__init__()
        self.generator = generator
        self.latent = latent
        self.multiple = getattr(generator, "multiple", 1)
        self.minimum = getattr(generator, "minimum", 1)

    def forward(self, image: Tensor, latent: Tensor) -> Tensor:
        """Translate `image` with the code `latent`.

        Raises:
            ValueError: the code has another length.
        """
        if latent.shape[1] != self.latent:
            raise ValueError(f"the latent code must have {self.latent} numbers, not {latent.shape[1]}")
        result: Tensor = self.generator(append_planes(image, latent))
        return result
