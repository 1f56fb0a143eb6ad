"""Free-form inpainting: Yu et al. 2019, "Free-Form Image Inpainting with Gated Convolution" (DeepFill v2)."""

from collections.abc import Sequence
from typing import Literal

import torch
from pydantic import Field
from torch import Tensor

from img2img.data.ranges import BatchSize, Steps
from img2img.methods.adversarial import AdversarialLoss, Scorer, add_discriminators
from img2img.methods.config import AdversarialConfig, NetworkConfig, OptimiserConfig, ScheduleConfig
from img2img.methods.inpainting import (
    Inpainting,
    InpaintingConfig,
    build_discriminator,
    build_generator,
    paste,
    stages,
    truth_and_mask,
)
from img2img.methods.method import Batch, Facts, Networks, OptimiserSpec, Step

ADAM = OptimiserConfig(rate=1e-4, betas=(0.5, 0.999))


class Config(InpaintingConfig):
    """Section 3 and the official repository (JiahuiYu/generative_inpainting, v2): two stages of gated convolutions, L1
    of both over the whole picture, hinge loss of SN-PatchGAN, all weights 1, Adam 1e-4, batch 16, 256 px.

    Any other generator gets the mask as a fourth channel and has one stage. The discriminator sees the picture with its
    known pixels, and the mask.
    """

    method: Literal["inpaint"] = Field(default="inpaint", description="method")
    generator: NetworkConfig = Field(default=NetworkConfig(name="gated"), description="generator")
    discriminator: NetworkConfig = Field(default=NetworkConfig(name="sn-patchgan"), description="discriminator")
    adversarial: AdversarialConfig = Field(
        default=AdversarialConfig(name="hinge"), description="adversarial objective; weight 0: no discriminator"
    )
    coarse: float = Field(default=1.0, ge=0, description="weight of the reconstruction objectives of earlier stages")
    optimiser: OptimiserConfig = ADAM
    discriminator_optimiser: OptimiserConfig = ADAM
    initialise: Literal["normal", "xavier", "kaiming", "orthogonal", "none"] = Field(
        default="none", description="weight initialisation; none: as the constructors do"
    )
    steps: Steps = Field(default=500_000, description="training steps; the paper gives no number")
    batch: BatchSize = Field(default=16, description="photos per step, over all processes")
    schedule: ScheduleConfig = ScheduleConfig(shape="constant")


class Inpaint(Inpainting):
    """Free-form inpainting. See `Inpainting` for its batches and its generator."""

    recipe = Config

    def __init__(self, config: Config, facts: Facts | None = None) -> None:
        super().__init__(config, build_generator(config))
        self.coarse = config.coarse
        self.optimisers = {"generator": OptimiserSpec(("generator",), config.optimiser)}
        self.adversarial: AdversarialLoss | None = None
        if config.has_discriminator:
            discriminator = build_discriminator(
                config, config.discriminator, key="discriminator", channels=4, size=config.data.crop
            )
            losses = add_discriminators(self, config, {"discriminator": discriminator}, pictures=[slice(0, 3)])
            self.adversarial = losses["discriminator"]

    @property
    def title(self) -> str:
        return f"inpaint (Yu et al. 2019), {self.config.generator.name} generator"

    def step(self, networks: Networks, batches: Sequence[Batch]) -> Step:
        figures: dict[str, Tensor] = {}
        for batch in batches:
            truth, mask = truth_and_mask(batch)
            results = stages(networks["generator"](truth * (1 - mask), mask))
            filled = paste(results[-1], truth, mask)
            if self.adversarial:
                loss, figures = self.adversarial.discriminator_loss(_scorer(networks, mask), truth, filled)
                yield "discriminator", loss
        terms, loss = self.reconstruction(results[-1], truth, mask)
        for coarse in results[:-1]:
            more, distance = self.reconstruction(coarse, truth, mask)
            terms |= {f"coarse_{name}": value for name, value in more.items()}
            loss = loss + self.coarse * distance
        if self.adversarial:
            adversarial, more = self.adversarial.generator_loss(_scorer(networks, mask), filled, truth)
            terms |= more
            loss = loss + adversarial
        yield "generator", loss
        return {"loss": loss.detach()} | terms | figures | (self.adversarial.gradient() if self.adversarial else {})


def _scorer(networks: Networks, mask: Tensor) -> Scorer:
    return lambda picture: networks["discriminator"](torch.cat((picture, mask), 1))
