"""SimGAN: Shrivastava et al. 2017, "Learning from Simulated and Unsupervised Images through Adversarial Training"."""

from collections.abc import Mapping, Sequence
from typing import Literal

import torch
from pydantic import Field, NonNegativeInt
from torch import Tensor

from img2img import objectives
from img2img.data.ranges import BatchSize, Steps
from img2img.methods.config import AdversarialConfig, NetworkConfig, OptimiserConfig
from img2img.methods.method import Batch, Facts, Networks, Step
from img2img.methods.unpaired_gan import Pass, UnpairedConfig, UnpairedGAN

SGD = OptimiserConfig(name="sgd", rate=1e-3)


class Config(UnpairedConfig):
    """Section 2 and algorithm 1: a refiner from A (simulated) to B (real), L1 to its input, a pool of refined pictures.

    ResNet-4 and PatchGAN, SGD 1e-3. First 1,000 steps with the L1 alone, then 200 of the discriminator, then two of the
    refiner per step of the discriminator.
    """

    method: Literal["simgan"] = Field(default="simgan", description="method")
    generator: NetworkConfig = Field(default=NetworkConfig(name="resnet", options={"blocks": 4}), description="refiner")
    discriminator: NetworkConfig = Field(
        default=NetworkConfig(name="patchgan", options={"norm": "none"}), description="discriminator"
    )
    adversarial: AdversarialConfig = Field(
        default=AdversarialConfig(name="non-saturating"), description="adversarial objective (equations 1 and 2)"
    )
    direction: Literal["both", "AtoB", "BtoA"] = Field(
        default="AtoB", description="direction; AtoB: A is simulated, B is real"
    )
    objective: Literal["l1", "l2", "charbonnier"] = Field(
        default="l1", description="distance between input and result (equation 3)"
    )
    similarity: float = Field(
        default=0.5,
        ge=0,
        description="weight of that distance (lambda), which keeps the annotations of the input valid",
    )
    generator_warmup: NonNegativeInt = Field(
        default=1000, description="first steps, in which the refiner only learns to return its input"
    )
    discriminator_warmup: NonNegativeInt = Field(
        default=200, description="steps after that, in which only the discriminator learns"
    )
    generator_steps: int = Field(
        default=2, ge=1, le=100, description="refiner updates per discriminator update, each on its own batch"
    )
    pool: int = Field(
        default=1280,
        ge=0,
        le=100_000,
        description="refined pictures that the discriminator may see again (section 2.3)",
    )
    batch: BatchSize = Field(default=32, description="pictures per side and step, over all processes")
    steps: Steps = Field(default=20_000, description="training steps (updates of the refiner, and the warm-up)")
    optimiser: OptimiserConfig = SGD
    discriminator_optimiser: OptimiserConfig = SGD


class SimGAN(UnpairedGAN):
    """SimGAN: makes pictures look real without changing what they show. See `UnpairedGAN`."""

    recipe = Config
    config: Config

    def __init__(self, config: Config, facts: Facts | None = None) -> None:
        super().__init__(config, facts)
        self.distance = objectives.build(config.objective)

    def step(self, networks: Networks, batches: Sequence[Batch]) -> Step:
        before = self.config.generator_warmup
        if self.step_number < before:
            return (yield from self._imitate_input(networks, batches[0]))
        if self.step_number < before + self.config.discriminator_warmup:
            return (yield from self._discriminate(networks, batches[0]))
        return (yield from super().step(networks, batches))

    def terms(self, one: Pass) -> Mapping[str, Tensor]:
        return {"similarity": self.config.similarity * self.distance(one.fake, one.real)}

    def _imitate_input(self, networks: Networks, batch: Batch) -> Step:
        terms = {one.source: self.terms(one)["similarity"] for one in self._passes(networks, batch)}
        loss = torch.stack(list(terms.values())).sum()
        yield "generator", loss
        return {f"similarity_{side}": term.detach() for side, term in terms.items()} | {"loss": loss.detach()}

    def _discriminate(self, networks: Networks, batch: Batch) -> Step:
        figures: dict[str, Tensor] = {}
        passes = self._passes(networks, batch)
        with torch.no_grad():
            fake = {one.target: one.fake for one in passes}
        yield from self.update_discriminators(networks, {one.target: one.wanted for one in passes}, fake, figures)
        return figures
