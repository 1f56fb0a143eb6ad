"""Adversarial objectives of a critic: L_D = E[D(G)] - E[D(x)], L_G = -E[D(G)].

If the critic is 1-Lipschitz, the best value of -L_D is the Wasserstein-1 distance of real and generated pictures
(Arjovsky et al. 2017, Wasserstein GAN, equations 2 and 3). The two classes differ in how they keep it so.
"""

from typing import ClassVar

from torch import Tensor

from img2img.errors import ConfigError
from img2img.objectives.game import Adversarial, middle


class Wasserstein(Adversarial):
    """What the two have in common."""

    def _discriminator(self, real: Tensor, fake: Tensor, distance: Tensor | None) -> Tensor:
        return fake.mean() - real.mean()

    def _generator(self, fake: Tensor, real: Tensor) -> Tensor:
        return -fake.mean()

    def _line(self, real: Tensor, fake: Tensor) -> Tensor:
        return middle(real, fake)


class Clipped(Wasserstein):
    """WGAN: the critic's weights are clipped after each of its updates.

    Arjovsky et al. 2017, algorithm 1 (RMSProp at 5e-5, five critic updates for one of the generator).

    Args:
        clip: largest absolute value of a weight.

    Raises:
        ConfigError: `clip` is not above 0.
    """

    def __init__(self, clip: float = 0.01) -> None:
        super().__init__()
        if clip <= 0:
            raise ConfigError(f"wgan: clip = {clip} must be above 0, it bounds the discriminator's weights")
        self.clip = clip


class Penalised(Wasserstein):
    """WGAN-GP: the norm of the critic's gradient is drawn to 1 between real and fake (`penalties.Gradient`).

    Gulrajani et al. 2017 (Improved Training of Wasserstein GANs), equation 3. No batch norm in the critic.
    """

    penalty: ClassVar[str | None] = "gradient"
