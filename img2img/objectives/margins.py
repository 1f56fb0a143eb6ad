"""Adversarial objectives that ask for a certain score, or for a certain distance between two scores."""

from typing import ClassVar

from torch import Tensor
from torch.nn import functional as F

from img2img.errors import ConfigError
from img2img.objectives.game import Adversarial, midpoint


class LeastSquares(Adversarial):
    """LSGAN: L_D = 1/2 E[(D(x) - b)^2] + 1/2 E[(D(G) - a)^2], L_G = E[(D(G) - c)^2].

    Mao et al. 2017 (Least Squares GANs), equation 2, without the factor 1/2 in L_G: CycleGAN, pix2pixHD and their
    official codes omit it, and their weights (10 for the cycle) rely on that. For a fixed G the best D is
    (b p_data + a p_g) / (p_data + p_g) (section 3.2).

    Args:
        a: label of fake pictures.
        b: label of real pictures.
        c: the score that the generator aims for. a = -1, b = 1, c = 0 minimise Pearson's divergence (section 3.2).

    Raises:
        ConfigError: a and b are equal.
    """

    halved: ClassVar[bool] = True

    def __init__(self, a: float = 0.0, b: float = 1.0, c: float = 1.0) -> None:
        super().__init__()
        if a == b:
            raise ConfigError(f"lsgan: the labels a (fake) and b (real) are both {a}; they must differ")
        self.a, self.b, self.c = a, b, c

    def _discriminator(self, real: Tensor, fake: Tensor, distance: Tensor | None) -> Tensor:
        return ((real - self.b).square().mean() + (fake - self.a).square().mean()) / 2

    def _generator(self, fake: Tensor, real: Tensor) -> Tensor:
        return (fake - self.c).square().mean()

    def _accuracies(self, real: Tensor, fake: Tensor) -> tuple[Tensor, Tensor]:
        side = 1 if self.b > self.a else -1
        return super()._accuracies(side * real, side * fake)

    def _threshold(self, real: Tensor, fake: Tensor) -> float:
        return (self.a + self.b) / 2 * (1 if self.b > self.a else -1)


class Hinge(Adversarial):
    """L_D = E[max(0, 1 - D(x))] + E[max(0, 1 + D(G))], L_G = -E[D(G)].

    Lim and Ye 2017 (Geometric GAN); Miyato et al. 2018 (Spectral Normalization), equations 16 and 17.
    The discriminator learns nothing from scores beyond the margin.
    """

    def _discriminator(self, real: Tensor, fake: Tensor, distance: Tensor | None) -> Tensor:
        return F.relu(1 - real).mean() + F.relu(1 + fake).mean()

    def _generator(self, fake: Tensor, real: Tensor) -> Tensor:
        return -fake.mean()


class LossSensitive(Adversarial):
    """LS-GAN: fake pictures must score lower than real ones, by a margin that grows with their distance.

    Qi 2017 (Loss-Sensitive GANs on Lipschitz Densities): for a loss function L that is low for real pictures,
    L_D = E[max(0, margin * distance(x, G) + L(x) - L(G))] + gamma E[L(x)] and L_G = E[L(G)].

    Everywhere else in this package a high score means real, so L = -D, and any discriminator fits. The default gamma is
    0, as in the author's code: that term has no minimum unless the discriminator's last layer bounds L, as it does
    there.

    A map of scores is first averaged per picture. The method chooses `distance`; the paper uses L1.

    Args:
        margin: the score difference required at a distance of 1. The author's code uses 0.0002 for the summed absolute
            difference of 64x64 RGB pictures, which is about 2.5 for the mean difference.
        gamma: weight of the term that lowers the loss of real pictures.

    Raises:
        ConfigError: `margin` is not above 0, or `gamma` is below 0.
    """

    paired_samples: ClassVar[bool] = True

    def __init__(self, margin: float = 1.0, gamma: float = 0.0) -> None:
        super().__init__()
        if margin <= 0 or gamma < 0:
            raise ConfigError(f"loss-sensitive: margin = {margin} must be above 0 and gamma = {gamma} at least 0")
        self.margin = margin
        self.gamma = gamma

    def _discriminator(self, real: Tensor, fake: Tensor, distance: Tensor | None) -> Tensor:
        assert distance is not None
        loss_real, loss_fake = -_mean_per_picture(real), -_mean_per_picture(fake)
        needed = self.margin * distance.detach().to(loss_real) + loss_real - loss_fake
        return F.relu(needed).mean() + self.gamma * loss_real.mean()

    def _generator(self, fake: Tensor, real: Tensor) -> Tensor:
        return -fake.mean()

    def _threshold(self, real: Tensor, fake: Tensor) -> Tensor:
        return midpoint(real, fake)


def _mean_per_picture(scores: Tensor) -> Tensor:
    return scores.flatten(1).mean(1) if scores.dim() > 1 else scores
