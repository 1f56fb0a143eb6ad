"""Adversarial objectives for a discriminator that outputs the logit of "this is real". s is the logistic sigmoid."""

from typing import ClassVar

from torch import Tensor
from torch.nn import functional as F

from img2img.errors import ConfigError
from img2img.objectives.game import Adversarial


class Logistic(Adversarial):
    """A discriminator trained by cross-entropy: L_D = -E[log s(D(x))] - E[log(1 - s(D(G)))].

    Goodfellow et al. 2014 (Generative Adversarial Nets), equation 1. For a fixed G the best D is log(p_data / p_g)
    (proposition 1).

    Args:
        smoothing: how far the real label lies below 1, 0..1 (one-sided label smoothing: Salimans et al. 2016,
            section 3.4).

    Raises:
        ConfigError: `smoothing` is not in 0..1.
    """

    def __init__(self, smoothing: float = 0.0) -> None:
        super().__init__()
        if not 0 <= smoothing < 1:
            raise ConfigError(
                f"smoothing = {smoothing} must be at least 0 and below 1; it is subtracted from the label 1"
            )
        self.smoothing = smoothing

    def _discriminator(self, real: Tensor, fake: Tensor, distance: Tensor | None) -> Tensor:
        # -log s(x) = softplus(-x); a label of 1 - e adds e x to it
        return (F.softplus(-real) + self.smoothing * real).mean() + F.softplus(fake).mean()


class Minimax(Logistic):
    """The zero-sum game: L_G = E[log(1 - s(D(G)))].

    Goodfellow et al. 2014, equation 1. Its gradient vanishes if the discriminator is certain (section 3).
    """

    def _generator(self, fake: Tensor, real: Tensor) -> Tensor:
        return -F.softplus(fake).mean()


class NonSaturating(Logistic):
    """The usual form of the game: L_G = -E[log s(D(G))].

    Goodfellow et al. 2014, section 3, last paragraph: the same fixed point, with strong gradients from the start.
    """

    def _generator(self, fake: Tensor, real: Tensor) -> Tensor:
        return F.softplus(-fake).mean()


class DRAGAN(NonSaturating):
    """The non-saturating game with a gradient penalty near the real pictures (`penalties.LocalGradientPenalty`).

    Kodali et al. 2017 (On Convergence and Stability of GANs).
    """

    penalty: ClassVar[str | None] = "dragan"


class Relativistic(Adversarial):
    """Asks whether this real picture is more real than that fake one.

    L_D = -E[log s(C(x) - C(G))], L_G = -E[log s(C(G) - C(x))], over pairs in the batch.
    Jolicoeur-Martineau 2018 (The relativistic discriminator), section 4.1, RSGAN.
    """

    needs_real: ClassVar[bool] = True

    def _discriminator(self, real: Tensor, fake: Tensor, distance: Tensor | None) -> Tensor:
        return F.softplus(fake - real).mean()

    def _generator(self, fake: Tensor, real: Tensor) -> Tensor:
        return F.softplus(real - fake).mean()

    def _accuracies(self, real: Tensor, fake: Tensor) -> tuple[Tensor, Tensor]:
        share = (real > fake).float().mean()
        return share, share


class RelativisticAverage(Adversarial):
    """Asks whether this picture is more real than the average fake one, or less real than the average real one.

    L_D = -1/2 E[log s(C(x) - E C(G))] - 1/2 E[log(1 - s(C(G) - E C(x)))]; L_G swaps real and fake.
    Jolicoeur-Martineau 2018, section 4.2, RaSGAN; ESRGAN (Wang et al. 2018), equations 1 and 2.

    The paper takes the sum; both official codes halve it, and ESRGAN's weight of 0.005 relies on that. The averages are
    over the batch; in a distributed run, each process uses its own.
    """

    needs_real: ClassVar[bool] = True
    halved: ClassVar[bool] = True

    def _discriminator(self, real: Tensor, fake: Tensor, distance: Tensor | None) -> Tensor:
        return (F.softplus(fake.mean() - real).mean() + F.softplus(fake - real.mean()).mean()) / 2

    def _generator(self, fake: Tensor, real: Tensor) -> Tensor:
        return self._discriminator(fake, real, None)

    def _accuracies(self, real: Tensor, fake: Tensor) -> tuple[Tensor, Tensor]:
        return (real > fake.mean()).float().mean(), (fake < real.mean()).float().mean()
