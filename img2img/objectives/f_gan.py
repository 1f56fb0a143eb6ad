"""f-GAN: the discriminator gives a lower bound on an f-divergence between real and generated pictures."""

from collections.abc import Callable
from typing import NamedTuple

from torch import Tensor
from torch.nn import functional as F

from img2img.errors import ConfigError
from img2img.objectives.game import Adversarial

LOG_2 = 0.6931471805599453


class Divergence(NamedTuple):
    """One column of Nowozin et al. 2016, tables 2 and 6, as functions of the raw score v.

    Attributes:
        activation: T = g_f(v), which maps scores into the domain of f*.
        conjugate: f*(g_f(v)), the Fenchel conjugate of the activation, simplified so that exponentials and logarithms
            cancel.
        threshold: the score at which g_f(v) = f'(1). Above it, a picture counts as real.
    """

    activation: Callable[[Tensor], Tensor]
    conjugate: Callable[[Tensor], Tensor]
    threshold: float = 0.0


DIVERGENCES = {
    "kl": Divergence(lambda v: v, lambda v: (v - 1).exp(), threshold=1.0),
    "reverse-kl": Divergence(lambda v: -(-v).exp(), lambda v: v - 1),
    "pearson": Divergence(lambda v: v, lambda v: v.square() / 4 + v),
    "hellinger": Divergence(lambda v: 1 - (-v).exp(), lambda v: v.exp() - 1),
    "jensen-shannon": Divergence(lambda v: LOG_2 - F.softplus(-v), lambda v: F.softplus(v) - LOG_2),
}


class FGAN(Adversarial):
    """L_D = E[f*(g_f(D(G)))] - E[g_f(D(x))], L_G = -E[g_f(D(G))], or -E[f*(g_f(D(G)))] without the trick.

    Nowozin et al. 2016 (f-GAN), equation 6; section 3.2 has the trick for the generator. The best value of -L_D is the
    divergence D_f(p_data || p_g), reached at g_f(D) = f'(p_data / p_g) (equation 5). "jensen-shannon" uses the paper's
    f, which is twice the divergence of that name. Several divergences take exponentials of the score: clip gradients.

    Args:
        divergence: kl, reverse-kl, pearson, hellinger (squared) or jensen-shannon.
        trick: let the generator raise g_f of its scores instead of f*, as the non-saturating loss does for the minimax
            one. For kl and pearson, whose g_f is the identity, training without it is steadier (examples/toy_gans.md).

    Raises:
        ConfigError: the divergence is unknown.
    """

    def __init__(self, divergence: str = "jensen-shannon", trick: bool = True) -> None:
        super().__init__()
        if divergence not in DIVERGENCES:
            raise ConfigError(f"f-gan: unknown divergence '{divergence}'; choose from {', '.join(DIVERGENCES)}")
        self.divergence = divergence
        self.trick = trick

    def _discriminator(self, real: Tensor, fake: Tensor, distance: Tensor | None) -> Tensor:
        f = DIVERGENCES[self.divergence]
        return f.conjugate(fake).mean() - f.activation(real).mean()

    def _generator(self, fake: Tensor, real: Tensor) -> Tensor:
        f = DIVERGENCES[self.divergence]
        return -(f.activation if self.trick else f.conjugate)(fake).mean()

    def _threshold(self, real: Tensor, fake: Tensor) -> float:
        return DIVERGENCES[self.divergence].threshold
