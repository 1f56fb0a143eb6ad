"""A random code as a second input of a generator, and the loss terms that make it count."""

import torch
from pydantic import Field, NonNegativeFloat
from torch import Tensor, nn

from img2img import networks
from img2img.errors import ConfigError
from img2img.methods.config import NetworkConfig
from img2img.objectives.information import Information
from img2img.objectives.mode_seeking import ModeSeeking
from img2img.section import Section


class LatentConfig(Section):
    """A random code from N(0, 1) as a second input of the generator. The model then draws samples."""

    length: int = Field(
        default=0,
        ge=0,
        le=1024,
        description="numbers of the code; each becomes a constant plane beside the picture (BicycleGAN, Zhu et al. "
        "2017, figure 3a). 0: one result per picture",
    )
    mode_seeking: NonNegativeFloat = Field(
        default=0.0,
        description="weight of the mode-seeking term (MSGAN, Mao et al. 2019; there 1): different codes should give "
        "different results, which a distance to the one truth works against",
    )
    information: NonNegativeFloat = Field(
        default=0.0,
        description="weight of the mutual information of code and result (InfoGAN, Chen et al. 2016): a part of the "
        "discriminator estimates the code from the result. Needs patchgan or dcgan",
    )


class LatentLoss:
    """Draws the codes of a method, and computes the terms of `LatentConfig` on pictures made with them.

    Raises:
        ConfigError: a term has a weight, but there is no code, or a network cannot take or estimate it.
    """

    def __init__(self, config: LatentConfig, generator: NetworkConfig, discriminator: NetworkConfig) -> None:
        self.config = config
        for name in ("mode_seeking", "information"):
            if getattr(config, name) and not config.length:
                raise ConfigError(f"latent.{name} needs a code: set latent.length, for example to 8")
        if config.length and not networks.has_option(generator.name, "inputs"):
            raise ConfigError(f"latent.length: generator '{generator.name}' takes a picture only; use unet or resnet")
        if config.information and not networks.has_option(discriminator.name, "classes"):
            raise ConfigError(
                f"latent.information: discriminator '{discriminator.name}' cannot estimate a code: use patchgan or "
                "dcgan"
            )
        self._mode_seeking = ModeSeeking()
        self._information = Information()

    @property
    def estimates(self) -> dict[str, int]:
        """The option `classes` of a discriminator that estimates the code. Empty: it does not."""
        return {"classes": 2 * self.config.length} if self.config.information else {}

    def draw(self, like: Tensor) -> Tensor:
        """Draw a code `[N, length]` for each picture of `like`, which has N of them."""
        return torch.randn(len(like), self.config.length, device=like.device)

    def information(self, estimate: Tensor, code: Tensor) -> Tensor:
        """Return minus the weighted information, for the loss of the generator and that of the discriminator."""
        bound: Tensor = self._information(estimate, code)
        return -self.config.information * bound

    def mode_seeking(self, generator: nn.Module, given: Tensor, result: Tensor, code: Tensor) -> Tensor:
        """Return the weighted mode-seeking term for `result`, made from `given` with `code`, and another result."""
        other = self.draw(given)
        term: Tensor = self._mode_seeking(result, generator(given, other), code, other)
        return self.config.mode_seeking * term
