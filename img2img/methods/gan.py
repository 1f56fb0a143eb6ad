"""What the adversarial methods have in common: their configuration, and networks built to fit the data."""

import inspect
from typing import Any, Literal

from pydantic import Field
from torch import nn

from img2img import networks
from img2img.errors import ConfigError
from img2img.lookup import lookup
from img2img.methods.config import (
    AdversarialConfig,
    MatchingConfig,
    NetworkConfig,
    OptimiserConfig,
    PerceptualConfig,
    RunConfig,
)

ADAM = OptimiserConfig(rate=2e-4, betas=(0.5, 0.999))
"""Of pix2pix and CycleGAN, after DCGAN (Radford et al. 2016)."""


class GANConfig(RunConfig):
    """A generator against a discriminator. A recipe gives every network and the game a default."""

    generator: NetworkConfig = Field(description="generator")
    discriminator: NetworkConfig = Field(description="discriminator")
    adversarial: AdversarialConfig = Field(description="the game")
    matching: MatchingConfig = MatchingConfig()
    perceptual: PerceptualConfig = PerceptualConfig()
    optimiser: OptimiserConfig = ADAM
    discriminator_optimiser: OptimiserConfig = ADAM
    initialise: Literal["normal", "xavier", "kaiming", "orthogonal", "none"] = Field(
        default="normal", description="initialisation of the networks; none: torch's own"
    )
    gain: float = Field(default=0.02, gt=0, description="deviation of the normal initialisation, gain of the others")

    @property
    def has_discriminator(self) -> bool:
        """Whether a discriminator is trained; without one only the distance to the truth is."""
        return self.adversarial.weight > 0 or self.matching.weight > 0

    def build(self, wish: NetworkConfig, *, fixed: dict[str, Any], advice: dict[str, Any] | None = None) -> nn.Module:
        """The network of `wish`, initialised, under spectral norm where that is asked for.

        Args:
            fixed: what follows from the data (`inputs`, `outputs`, `domains`). A constructor that calls its inputs
                `channels` gets them under that name.
            advice: what fits the data, unless the configuration says otherwise (`size`, `downs`).
                Of both, what the network's constructor does not know is left out.

        Raises:
            ConfigError: there is no such network or option, or an option does not fit.
        """
        known = inspect.signature(lookup("network", networks.NETWORKS, wish.name)).parameters
        if "channels" in known and "inputs" not in known:
            fixed = {"channels": fixed["inputs"], **fixed}
        chosen = {name: value for name, value in (advice or {}).items() if name not in wish.options}
        fitting = {name: value for name, value in {**chosen, **fixed}.items() if name in known}
        return networks.build_from_spec(wish, scheme=self.initialise, gain=self.gain, **fitting)


def check_crop(crop: int, config: NetworkConfig, network: nn.Module) -> None:
    """See that `network` can take crops of `crop` pixels.

    Raises:
        ConfigError: it cannot; the message says what would do.
    """
    multiple, minimum = getattr(network, "multiple", 1), getattr(network, "minimum", 1)
    if crop % multiple:
        raise ConfigError(
            f"data.crop = {crop}: {config.name} takes multiples of {multiple} "
            f"({multiple * max(crop // multiple, 1)} or {multiple * (crop // multiple + 1)})"
            + ("; a smaller generator.options.downs takes others" if config.name == "unet" else "")
        )
    if crop < minimum:
        raise ConfigError(f"data.crop = {crop}: {config.name} takes {minimum} pixels or more")
