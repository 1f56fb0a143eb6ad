"""The setting of methods whose networks can grow during the training."""

from itertools import pairwise
from typing import Any, Self

from pydantic import Field, model_validator
from torch import nn

from img2img import networks
from img2img.errors import ConfigError
from img2img.methods.config import NetworkConfig
from img2img.methods.gan import GANConfig


class GrowingConfig(GANConfig):
    """A generator and a discriminator that may grow."""

    growing: tuple[float, ...] = Field(
        default=(),
        description="progressive growing (Karras et al. 2018, section 2): fractions of the steps at which the sides of "
        "the pictures double, such as [0.25, 0.5] for a quarter, half and the whole of data.crop. A new layer is faded "
        "in until half of the time to the next doubling, or to the end, has passed. Needs resnet or unet, and patchgan",
    )

    @model_validator(mode="after")
    def _rising(self) -> Self:
        if any(not 0 <= one < following for one, following in pairwise([*self.growing, 1.0])):
            raise ValueError(
                f"growing = {list(self.growing)} must rise from 0 to below 1: they are fractions of the steps"
            )
        return self

    def build(
        self, network: NetworkConfig, *, fixed: dict[str, Any], defaults: dict[str, Any] | None = None
    ) -> nn.Module:
        """Build and initialise `network`, see `GANConfig.build`. With `growing`, it can grow.

        Raises:
            ConfigError: see `GANConfig.build`; or the network cannot grow.
        """
        if not self.growing:
            return super().build(network, fixed=fixed, defaults=defaults)
        if not networks.has_option(network.name, "growing"):
            raise ConfigError(
                f"growing: network '{network.name}' cannot grow; use resnet or unet, and patchgan as discriminator"
            )
        built = super().build(network, fixed={**fixed, "growing": self.growing}, defaults=defaults)
        setattr(built, networks.EAGER, True)  # which layers run changes from step to step
        return built
