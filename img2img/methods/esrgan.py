"""ESRGAN: Wang et al. 2018, "ESRGAN: Enhanced Super-Resolution Generative Adversarial Networks".

The default generator is not the paper's RRDB (16.7 million parameters) but a compact network that a CPU can train and
run. For the paper's generator use `--set generator.name=rrdb --set optimiser.rate=2e-4 --steps 1000000` with crops of
128 and batches of 16, and the same generator in the second stage.
"""

from typing import Literal

from pydantic import Field

from img2img.data.ranges import BatchSize, Count, Side, Steps
from img2img.methods.config import (
    AdversarialConfig,
    NetworkConfig,
    ObjectiveWeights,
    OptimiserConfig,
    PerceptualConfig,
    ScheduleConfig,
)
from img2img.methods.gan import GANConfig
from img2img.methods.super_resolution import PhotoData, SuperResolution, SuperResolutionConfig
from img2img.objectives.perceptual import SRGAN_LAYERS

ADAM = OptimiserConfig(rate=1e-4, betas=(0.9, 0.99))
"""For both networks (official options, train_ESRGAN_x4.yml)."""

HALVED_FOUR_TIMES = ScheduleConfig(shape="multi-step", milestones=(0.125, 0.25, 0.5, 0.75))
"""After 50, 100, 200 and 300 thousand of 400 thousand steps (section 4.1)."""


class Config(SuperResolutionConfig):
    """Fidelity stage (section 4.1, "PSNR-oriented"): L1, with learning rates for the compact network."""

    method: Literal["esrgan"] = Field(default="esrgan", description="method")
    generator: NetworkConfig = Field(
        default=NetworkConfig(name="collapsible-compact", options={"features": 48, "convs": 10, "expand": 256}),
        description="generator; its scale follows `scale`",
    )
    batch: BatchSize = Field(default=8, description="crops per step, over all processes")
    steps: Steps = Field(default=20_000, description="training steps")
    optimiser: OptimiserConfig = OptimiserConfig(rate=1e-3, clip=0.5)
    schedule: ScheduleConfig = ScheduleConfig(warmup=100)
    validate_every: Steps = Field(
        default=1000, description="steps between validations, which also write a contact sheet"
    )


class Crops(PhotoData):
    """Photos, and how they are made small."""

    crop: Side = Field(default=128, description="side of the high-resolution crops in pixels")
    candidates: Count = Field(
        default=1, description="crops to draw for each one used; the one with most detail is used"
    )


class Adversarial(Config, GANConfig):
    """Sections 3.2, 3.3 and 4.1: 0.01 L1, VGG19's conv5_4 before its ReLU, 0.005 relativistic average GAN."""

    stage: Literal["fidelity", "adversarial"] = Field(default="adversarial", description="stage to train")
    data: Crops = Field(description="photos")
    discriminator: NetworkConfig = Field(default=NetworkConfig(name="vgg-style"), description="discriminator")
    adversarial: AdversarialConfig = Field(
        default=AdversarialConfig(name="relativistic-average", weight=0.005), description="adversarial objective"
    )
    objectives: ObjectiveWeights = Field(
        default={"l1": 0.01}, description="reconstruction objectives and their weights"
    )
    perceptual: PerceptualConfig = PerceptualConfig(weight=1.0, layers=SRGAN_LAYERS)
    batch: BatchSize = Field(default=16, description="crops per step, over all processes")
    steps: Steps = Field(default=400_000, description="training steps")
    optimiser: OptimiserConfig = ADAM
    discriminator_optimiser: OptimiserConfig = ADAM
    schedule: ScheduleConfig = HALVED_FOUR_TIMES


Config.stages = {"fidelity": Config, "adversarial": Adversarial}


class ESRGAN(SuperResolution):
    """ESRGAN. See `super_resolution` for the training steps. This module has the recipe."""

    recipe = Config
