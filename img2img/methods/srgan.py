"""SRGAN: Ledig et al. 2017, "Photo-Realistic Single Image Super-Resolution Using a Generative Adversarial Network".

As BasicSR trains it: without batch norm in the generator, with L1 in place of the squared error and with VGG's features
taken before the ReLU, after ESRGAN. The paper's generator: `--set generator.options.norm=batch --set
generator.options.activation=prelu`; its features: `--set perceptual.layers='{relu5_4=0.006}' --set
perceptual.criterion=l2` (section 3.2, VGG54).
"""

from typing import Literal

from pydantic import Field, PositiveInt

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
"""Of both networks (BasicSR, train_MSRGAN_x4.yml)."""


class Crops(PhotoData):
    crop: PositiveInt = Field(default=128, description="side of the high-resolution crop in pixels")
    candidates: PositiveInt = Field(default=1, description="crops drawn, of which the one with most detail is used")


class Config(SuperResolutionConfig):
    """Fidelity stage, the paper's SRResNet: L1, Adam 2e-4, one cosine (BasicSR restarts it three times)."""

    method: Literal["srgan"] = Field(default="srgan", description="method")
    data: Crops = Field(description="photos")
    generator: NetworkConfig = Field(
        default=NetworkConfig(name="srresnet"), description="generator; its scale is set from `scale`"
    )
    steps: PositiveInt = Field(default=1_000_000, description="training steps")
    optimiser: OptimiserConfig = OptimiserConfig(rate=2e-4, betas=(0.9, 0.99))
    validate_every: PositiveInt = Field(default=1000, description="steps between two validations")


class Adversarial(Config, GANConfig):
    """0.01 L1, VGG19's conv5_4 before its ReLU, 0.005 non-saturating GAN."""

    stage: Literal["fidelity", "adversarial"] = Field(
        default="adversarial", description="part of the method that this run trains"
    )
    discriminator: NetworkConfig = Field(default=NetworkConfig(name="vgg-style"), description="discriminator")
    adversarial: AdversarialConfig = Field(
        default=AdversarialConfig(name="non-saturating", weight=0.005), description="the game"
    )
    objectives: ObjectiveWeights = Field(default={"l1": 0.01}, description="objective to weight")
    perceptual: PerceptualConfig = PerceptualConfig(weight=1.0, layers=SRGAN_LAYERS)
    steps: PositiveInt = Field(default=400_000, description="training steps")
    optimiser: OptimiserConfig = ADAM
    discriminator_optimiser: OptimiserConfig = ADAM
    schedule: ScheduleConfig = ScheduleConfig(shape="multi-step", milestones=(0.125, 0.25, 0.5, 0.75))


Config.stages = {"fidelity": Config, "adversarial": Adversarial}


class SRGAN(SuperResolution):
    """See the modules, this one for the recipe and `super_resolution` for the steps."""

    recipe = Config
