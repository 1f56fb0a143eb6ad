"""Real-ESRGAN: Wang et al. 2021, "Training Real-World Blind Super-Resolution with Pure Synthetic Data".

The default generator is the compact network of the published general model (realesr-general-x4v3: 64 features, 32
convolutions). It takes a fourteenth of the computation of the paper's RRDB, which is `--set generator.name=rrdb`.
"""

from typing import Any, Literal

from pydantic import Field

from img2img.data.degradation import DegradationConfig, Kind
from img2img.data.ranges import BatchSize, Count, Side, Steps
from img2img.methods.config import AdversarialConfig, NetworkConfig, OptimiserConfig, PerceptualConfig, ScheduleConfig
from img2img.methods.gan import GANConfig
from img2img.methods.super_resolution import PhotoData, SuperResolution, SuperResolutionConfig
from img2img.objectives.perceptual import REAL_ESRGAN_LAYERS

ADAM = OptimiserConfig(rate=1e-4, betas=(0.9, 0.99))
"""For both networks (official options, train_realesrgan_x4plus.yml)."""

RESTORER = NetworkConfig(
    name="collapsible-residual", options={"features": 48, "blocks": 6, "convs": 3, "activation": "silu"}
)
"""The default generator at scale 1. A compact network would work at full resolution and take 16 times as long."""

RESTORATION = {"l2": 1.0}
"""The default objective at scale 1. Most pixels of mild faults are nearly right, so the unchanged picture is a minimum
of l1, and of psnr, that training hardly leaves."""


class RealDegradation(DegradationConfig):
    """How photos are made small."""

    kind: Kind = Field(
        default="real",
        description="bicubic: MATLAB's imresize; real: Real-ESRGAN's second-order degradation (first, second, final, "
        "sharpen); jpeg-noise: JPEG artefacts and noise, the default at scale 1 (jpeg_noise)",
    )


class RealPhotos(PhotoData):
    """Photos, and how they are made small."""

    crop: Side = Field(default=256, description="side of the high-resolution crops in pixels")
    candidates: Count = Field(
        default=1, description="crops to draw for each one used; the one with most detail is used"
    )
    degradation: RealDegradation = Field(default=RealDegradation(), description="how photos are made small")


class Config(SuperResolutionConfig):
    """Fidelity stage, the paper's Real-ESRNet (section 4.1): L1 to the sharpened photo, Adam 2e-4."""

    method: Literal["real-esrgan"] = Field(default="real-esrgan", description="method")
    data: RealPhotos = Field(description="photos")
    generator: NetworkConfig = Field(
        default=NetworkConfig(name="compact", options={"features": 64, "convs": 32}),
        description="generator; its scale follows `scale`",
    )
    batch: BatchSize = Field(default=48, description="crops per step, over all processes")
    steps: Steps = Field(default=1_000_000, description="training steps")
    optimiser: OptimiserConfig = OptimiserConfig(rate=2e-4, betas=(0.9, 0.99))
    schedule: ScheduleConfig = ScheduleConfig(shape="constant")
    validate_every: Steps = Field(
        default=1000, description="steps between validations, which also write a contact sheet"
    )

    @classmethod
    def with_defaults(cls, values: dict[str, Any]) -> dict[str, Any]:
        """As in `SuperResolutionConfig`. At scale 1, the default network works at half resolution, photos get JPEG
        artefacts and noise instead of being made small, and the objective is L2.
        """
        filled = super().with_defaults(values)
        if filled.get("scale") != 1:
            return filled
        if "objectives" not in values and filled.get("stage") != "adversarial":
            filled["objectives"] = dict(RESTORATION)
        if "generator" not in values and filled["generator"] == cls.model_fields["generator"].default.model_dump():
            filled["generator"] = RESTORER.model_dump()
        data = filled.get("data")
        if isinstance(data, dict) and isinstance(degradation := data.get("degradation", {}), dict):
            filled["data"] = {**data, "degradation": {"kind": "jpeg-noise", **degradation}}
        return filled


class Adversarial(Config, GANConfig):
    """Sections 3.3 and 4.1: L1, VGG19 at five layers before their ReLUs, 0.1 GAN, U-Net discriminator that scores every
    pixel.
    """

    stage: Literal["fidelity", "adversarial"] = Field(default="adversarial", description="stage to train")
    discriminator: NetworkConfig = Field(
        default=NetworkConfig(name="unet-discriminator"),
        description="discriminator; this one has spectral norm built in",
    )
    adversarial: AdversarialConfig = Field(
        default=AdversarialConfig(name="non-saturating", weight=0.1), description="adversarial objective"
    )
    perceptual: PerceptualConfig = PerceptualConfig(weight=1.0, layers=REAL_ESRGAN_LAYERS)
    steps: Steps = Field(default=400_000, description="training steps")
    optimiser: OptimiserConfig = ADAM
    discriminator_optimiser: OptimiserConfig = ADAM


Config.stages = {"fidelity": Config, "adversarial": Adversarial}


class RealESRGAN(SuperResolution):
    """Real-ESRGAN. See `super_resolution` for the training steps. This module has the recipe."""

    recipe = Config
