"""DualGAN: Yi et al. 2017, "DualGAN: Unsupervised Dual Learning for Image-to-Image Translation"."""

from typing import Literal

from pydantic import Field

from img2img.methods.config import AdversarialConfig, NetworkConfig, OptimiserConfig
from img2img.methods.unpaired_gan import CycleConfig, CyclicGAN

RMSPROP = OptimiserConfig(name="rmsprop", rate=5e-5, decay=0.9)


class Config(CycleConfig):
    """Section 3: U-Net and 70x70 PatchGANs, Wasserstein GANs with clipped weights + 500 reconstruction, RMSProp 5e-5.

    The paper gives 100 to 1,000 for the weights of the reconstruction; the official code has 500.
    """

    method: Literal["dualgan"] = Field(default="dualgan", description="method")
    generator: NetworkConfig = Field(default=NetworkConfig(name="unet"), description="both generators")
    discriminator: NetworkConfig = Field(
        default=NetworkConfig(name="patchgan", options={"norm": "batch"}), description="both discriminators"
    )
    adversarial: AdversarialConfig = Field(default=AdversarialConfig(name="wgan"), description="adversarial objective")
    cycle: float = Field(default=500.0, ge=0, description="weight of the reconstruction (lambda_U and lambda_V)")
    optimiser: OptimiserConfig = RMSPROP
    discriminator_optimiser: OptimiserConfig = RMSPROP


class DualGAN(CyclicGAN):
    """DualGAN: CycleGAN's two loops with Wasserstein distances, without an identity loss. See `UnpairedGAN`."""

    recipe = Config
    config: Config
