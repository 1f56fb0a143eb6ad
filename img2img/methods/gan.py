"""The settings of adversarial methods, and networks that fit the data."""

import inspect
from typing import Any, ClassVar, Literal, Self

from pydantic import Field, model_validator
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
from img2img.objectives.augment import Augmentation

ADAM = OptimiserConfig(rate=2e-4, betas=(0.5, 0.999))
"""The setting of pix2pix and CycleGAN, after DCGAN (Radford et al. 2016)."""


class BuildConfig(RunConfig):
    """Networks that are trained against each other: their optimisers and initial weights."""

    optimiser: OptimiserConfig = ADAM
    discriminator_optimiser: OptimiserConfig = ADAM
    initialise: Literal["normal", "xavier", "kaiming", "orthogonal", "none"] = Field(
        default="normal", description="weight initialisation; none: PyTorch's default"
    )
    gain: float = Field(
        default=0.02, gt=0, description="standard deviation of the normal initialisation, gain of the others"
    )

    def build(
        self, network: NetworkConfig, *, fixed: dict[str, Any], defaults: dict[str, Any] | None = None
    ) -> nn.Module:
        """Build and initialise `network`, with spectral norm if it asks for it.

        Arguments that the constructor does not have are dropped.

        Args:
            fixed: arguments that follow from the data (`inputs`, `outputs`, `domains`). A constructor with `channels`
                and without `inputs` gets the inputs under that name.
            defaults: arguments that suit the data, which the configuration may override (`size`, `downs`).

        Raises:
            ConfigError: the network or an option is unknown, or an option contradicts `fixed`; or the network is asked
                to classify, and `fixed` has no classes; or an option is a setting of the method.
        """
        for option in ("classes", "domains"):
            if network.options.get(option) and option not in fixed:
                raise ConfigError(
                    f"network '{network.name}': {option} = {network.options[option]}, but this method has no domains; "
                    "omit the option, or use stargan"
                )
        if "growing" in network.options:
            how = "is a setting of the method, for example --set growing=[0.25,0.5]"
            if "growing" not in type(self).model_fields:
                how = f"cannot be used: the networks of {self.method} do not grow"
            raise ConfigError(f"network '{network.name}': growing {how}")
        known = inspect.signature(lookup("network", networks.NETWORKS, network.name)).parameters
        if "channels" in known and "inputs" not in known:
            fixed = {"channels": fixed["inputs"], **fixed}
        chosen = {name: value for name, value in (defaults or {}).items() if name not in network.options}
        fitting = {name: value for name, value in {**chosen, **fixed}.items() if name in known}
        return networks.build_from_spec(network, scheme=self.initialise, gain=self.gain, **fitting)


class GANConfig(BuildConfig):
    """A generator and a discriminator. A recipe gives the networks and the adversarial objective."""

    matching_kinds: ClassVar[tuple[str, ...]] = ("mean", "pairwise")
    """The kinds of feature matching that the data of the method allow."""

    generator: NetworkConfig = Field(description="generator")
    discriminator: NetworkConfig = Field(description="discriminator")
    adversarial: AdversarialConfig = Field(description="adversarial objective")
    discriminator_augment: tuple[Augmentation, ...] = Field(
        default=(),
        description="differentiable augmentation of all that the discriminator sees, real and generated (Zhao et al. "
        "2020), against overfitting on small data sets: color, translation, cutout; empty: none",
    )
    discriminator_augment_target: float | None = Field(
        default=None,
        gt=-1,
        lt=1,
        description="adapt the probability of each augmentation, so that the mean sign of the discriminator's scores "
        "for real pictures stays at this value (ADA, Karras et al. 2020, section 3; there 0.6); none: always augment",
    )
    matching: MatchingConfig = MatchingConfig()
    perceptual: PerceptualConfig = PerceptualConfig()

    @model_validator(mode="after")
    def _matchable(self) -> Self:
        kind = self.matching.kind
        if self.matching.weight and kind not in self.matching_kinds:
            lacking = "pairs" if kind == "pairwise" else "classes"
            raise ValueError(
                f"matching.kind = {kind} needs {lacking}, and {self.method} has none: "
                f"use {' or '.join(self.matching_kinds)}"
            )
        if self.matching.weight and self.matching_kinds == ("mean",) and self.batch_of_a_part < 2:
            parts = f" in accumulate = {self.accumulate} parts" if self.accumulate > 1 else ""
            raise ValueError(
                f"batch = {self.batch}{parts}: matching.weight compares the mean features of a batch, and needs 2 "
                "pictures or more; single pictures of two domains have nothing to match"
            )
        return self

    @property
    def has_discriminator(self) -> bool:
        """Whether a discriminator is trained. Without one, only the distance to the truth is minimised."""
        return self.adversarial.weight > 0 or self.matching.weight > 0


def check_crop(crop: int, config: NetworkConfig, network: nn.Module) -> None:
    """Check that `network` accepts crops of `crop` pixels.

    Raises:
        ConfigError: it does not. The message says which crops it accepts.
    """
    multiple, minimum = getattr(network, "multiple", 1), getattr(network, "minimum", 1)
    if crop % multiple:
        below, above = multiple * (crop // multiple), multiple * (crop // multiple + 1)
        nearest = f"{below} or {above}" if below else f"{above}"
        message = f"data.crop = {crop}: {config.name} needs a multiple of {multiple} ({nearest})"
        if config.name == "unet":
            message += ", or a smaller generator.options.downs"
        raise ConfigError(message)
    if crop < minimum:
        raise ConfigError(f"data.crop = {crop}: {config.name} needs at least {minimum} pixels")
