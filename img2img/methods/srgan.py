"""SRGAN: Ledig et al. 2017, "Photo-Realistic Single Image Super-Resolution Using a Generative Adversarial Network".

As in BasicSR: the generator has no batch norm, L1 replaces the squared error, and VGG features are taken before the
ReLU, as in ESRGAN. For the paper's generator use `--set generator.options.norm=batch --set
generator.options.activation=prelu`, for its features `--set perceptual.layers='{relu5_4=0.006}' --set
perceptual.criterion=l2` (section 3.2, VGG54).
"""

from typing import Literal

from pydantic import Field

from img2img.data.ranges import Count, Side, Steps
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
"""For both networks (BasicSR, train_MSRGAN_x4.yml)."""


class Crops(PhotoData):
    """Photos, and how they are made small."""

    crop: Side = Field(default=128, description="side of the high-resolution crops in pixels")
    candidates: Count = Field(
        default=1, description="crops to draw for each one used; the one with most detail is used"
    )


class Config(SuperResolutionConfig):
    """Fidelity stage, the paper's SRResNet: L1, Adam 2e-4, one cosine cycle (BasicSR restarts it three times)."""

    method: Literal["srgan"] = Field(default="srgan", description="method")
    data: Crops = Field(description="photos")
    generator: NetworkConfig = Field(
        default=NetworkConfig(name="srresnet"), description="generator; its scale follows `scale`"
    )
    steps: Steps = Field(default=1_000_000, description="training steps")
    optimiser: OptimiserConfig = OptimiserConfig(rate=2e-4, betas=(0.9, 0.99))
    validate_every: Steps = Field(
        default=1000, description="steps between validations, which also write a contact sheet"
    )


class Adversarial(Config, GANConfig):
    """Adversarial stage: 0.01 L1, VGG19's conv5_4 before its ReLU, 0.005 non-saturating GAN."""

    stage: Literal["fidelity", "adversarial"] = Field(default="adversarial", description="stage to train")
    discriminator: NetworkConfig = Field(default=NetworkConfig(name="vgg-style"), description="discriminator")
    adversarial: AdversarialConfig = Field(
        default=AdversarialConfig(name="non-saturating", weight=0.005), description="adversarial objective"
    )
    objectives: ObjectiveWeights = Field(
        default={"l1": 0.01}, description="reconstruction objectives and their weights"
    )
    perceptual: PerceptualConfig = PerceptualConfig(weight=1.0, layers=SRGAN_LAYERS)
    steps: Steps = Field(default=400_000, description="training steps")
    optimiser: OptimiserConfig = ADAM
    discriminator_optimiser: OptimiserConfig = ADAM
    schedule: ScheduleConfig = ScheduleConfig(shape="multi-step", milestones=(0.125, 0.25, 0.5, 0.75))


Config.stages = {"fidelity": Config, "adversarial": Adversarial}


class SRGAN(SuperResolution):
    """SRGAN. See `super_resolution` for the training steps. This module has the recipe."""

    recipe = Config
