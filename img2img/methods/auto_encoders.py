"""What UNIT and MUNIT share: an auto-encoder per domain. A picture is encoded by one and decoded by the other."""

from abc import abstractmethod
from collections.abc import Mapping, Sequence
from typing import Literal

import torch
from pydantic import Field
from torch import Tensor, nn

from img2img import networks as built_networks
from img2img import objectives
from img2img.data.ranges import Steps
from img2img.methods.config import NetworkConfig, OptimiserConfig, ScheduleConfig
from img2img.methods.figures import to_signed
from img2img.methods.gan import check_crop
from img2img.methods.method import Batch, Facts, Networks, OptimiserSpec, Step
from img2img.methods.two_sided import TwoSidedConfig, TwoSidedGAN
from img2img.networks.initialise import initialise

ADAM = OptimiserConfig(rate=1e-4, betas=(0.5, 0.999), weight_decay=1e-4)
HALVED_NINE_TIMES = ScheduleConfig(shape="multi-step", milestones=tuple(i / 10 for i in range(1, 10)))
"""Every 100,000 of 1,000,000 steps (MUNIT, appendix B.1)."""


class AutoEncoderConfig(TwoSidedConfig):
    """Settings of both methods."""

    discriminator: NetworkConfig = Field(
        default=NetworkConfig(name="munit-discriminator"), description="discriminator of each side"
    )
    objective: Literal["l1", "l2", "charbonnier"] = Field(default="l1", description="distance in all reconstructions")
    reconstruction: float = Field(
        default=10.0, ge=0, description="weight of the distance between a picture and its own decoded code"
    )
    optimiser: OptimiserConfig = ADAM
    discriminator_optimiser: OptimiserConfig = ADAM
    initialise: Literal["normal", "xavier", "kaiming", "orthogonal", "none"] = Field(
        default="kaiming",
        description="weight initialisation of the auto-encoders; the discriminators start from N(0, gain)",
    )
    steps: Steps = Field(default=1_000_000, description="training steps (generator updates)")
    schedule: ScheduleConfig = HALVED_NINE_TIMES


class AutoEncoderGAN(TwoSidedGAN):
    """Base of the two. Networks: `generator_a` and `generator_b`, the auto-encoders, and what a method adds."""

    official_layout = False

    config: AutoEncoderConfig

    def __init__(self, config: AutoEncoderConfig, facts: Facts | None = None) -> None:
        self.config = config
        self.notes = []
        self.networks = {}
        for side in "ab":
            generator = self.build_generator()
            check_crop(config.data.crop, config.generator, generator)
            self.networks[f"generator_{side}"] = generator
        self.networks |= self.further_networks()
        for network in self.networks.values():
            # Its parts are called one by one, which compiled code does not support.
            setattr(network, built_networks.EAGER, True)
        generators = tuple(self.networks)
        self.optimisers = {"generator": OptimiserSpec(generators, config.optimiser)}
        self.averaged = generators
        self.distance = objectives.build(config.objective)
        self.build_discriminators()
        if config.initialise == "kaiming":
            for side in self.sides:
                initialise(self.networks[f"discriminator_{side}"], "normal", config.gain)

    @abstractmethod
    def build_generator(self) -> nn.Module:
        """Build the auto-encoder of one domain.

        Raises:
            ConfigError: `config.generator` is not one.
        """

    def further_networks(self) -> dict[str, nn.Module]:
        """Build the networks that both domains share. They are trained with the auto-encoders."""
        return {}

    @abstractmethod
    def translate(self, networks: Networks, real: Mapping[str, Tensor]) -> dict[str, Tensor]:
        """Translate pictures of both sides. `real` maps a side to `[N, 3, H, W]`, -1..1; so does the result, in which
        "b" holds what was made of a.
        """

    @abstractmethod
    def losses(self, networks: Networks, real: Mapping[str, Tensor]) -> tuple[dict[str, Tensor], dict[str, Tensor]]:
        """Return the translations, as `translate` does, and the weighted losses of the auto-encoders by name, all but
        the adversarial ones.
        """

    def step(self, networks: Networks, batches: Sequence[Batch]) -> Step:
        figures: dict[str, Tensor] = {}
        # The generators are updated first. The discriminators see the results from before, which saves a pass.
        for place, batch in enumerate(batches):
            real = {side: to_signed(batch[side]) for side in "ab"}
            if place == 0:
                fake, terms = self.losses(networks, real)
                losses = list(terms.values())
                for side in self.sides:
                    judge = networks[f"discriminator_{side}"]
                    loss, more = self.adversarial[f"discriminator_{side}"].generator_loss(judge, fake[side], real[side])
                    figures |= {f"{name}_{side}": value for name, value in more.items()}
                    losses.append(loss)
                total = torch.stack(losses).sum()
                yield "generator", total
                figures |= {name: term.detach() for name, term in terms.items()} | {"loss": total.detach()}
            else:
                with torch.no_grad():
                    fake = self.translate(networks, real)
            yield from self.update_discriminators(networks, real, fake, figures)
        return figures | self.adversarial[f"discriminator_{self.sides[-1]}"].gradient()
