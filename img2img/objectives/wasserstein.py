"""Adversarial objectives for a critic: L_D = E[D(G)] - E[D(x)], L_G = -E[D(G)].

If the critic is 1-Lipschitz, the best value of -L_D is the Wasserstein-1 distance between real and generated pictures
(Arjovsky et al. 2017, Wasserstein GAN, equations 2 and 3). The two classes differ in how they enforce this.
"""

from typing import ClassVar

from torch import Tensor

from img2img.errors import ConfigError
from img2img.objectives.game import Adversarial, midpoint


class Wasserstein(Adversarial):
    """The losses that both variants share."""

    def _discriminator(self, real: Tensor, fake: Tensor, distance: Tensor | None) -> Tensor:
        return fake.mean() - real.mean()

    def _generator(self, fake: Tensor, real: Tensor) -> Tensor:
        return -fake.mean()

    def _threshold(self, real: Tensor, fake: Tensor) -> Tensor:
        return midpoint(real, fake)


class WGAN(Wasserstein):
    """WGAN: the critic's weights are clipped after each of its updates.

    Arjovsky et al. 2017, algorithm 1 (RMSProp at 5e-5, five critic updates per generator update).

    Args:
        clip: largest absolute value of a weight.

    Raises:
        ConfigError: `clip` is not above 0.
    """

    def __init__(self, clip: float = 0.01) -> None:
        super().__init__()
        if clip <= 0:
            raise ConfigError(f"wgan: clip = {clip} must be above 0; it bounds the discriminator's weights")
        self.clip = clip


class WGANGP(Wasserstein):
    """WGAN-GP: a penalty pulls the norm of the critic's gradient between real and fake pictures to 1.

    Gulrajani et al. 2017 (Improved Training of Wasserstein GANs), equation 3; `penalties.GradientPenalty`. The critic
    must not have batch norm.
    """

    penalty: ClassVar[str | None] = "gradient"
