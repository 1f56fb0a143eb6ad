"""Adversarial objectives that ask for a certain value of the score, or a certain distance between two."""

from typing import ClassVar

from torch import Tensor
from torch.nn import functional as F

from img2img.errors import ConfigError
from img2img.objectives.game import Adversarial, middle


class LeastSquares(Adversarial):
    """LSGAN: L_D = 1/2 E[(D(x) - b)^2] + 1/2 E[(D(G) - a)^2], L_G = E[(D(G) - c)^2].

    Mao et al. 2017 (Least Squares GANs), equation 2, but for the half in front of L_G: CycleGAN, pix2pixHD and their
    official codes have none, and their weights (10 for the cycle) are relative to that. With fixed G the best D is
    (b p_data + a p_g) / (p_data + p_g) (section 3.2).

    Args:
        a: label of fake.
        b: label of real.
        c: what the generator wants to be taken for. a = -1, b = 1, c = 0 minimise Pearson's divergence (section 3.2).

    Raises:
        ConfigError: a and b are equal.
    """

    def __init__(self, a: float = 0.0, b: float = 1.0, c: float = 1.0) -> None:
        super().__init__()
        if a == b:
            raise ConfigError(f"lsgan: the labels a (fake) and b (real) are both {a}, nothing can tell them apart")
        self.a, self.b, self.c = a, b, c

    def _discriminator(self, real: Tensor, fake: Tensor, distance: Tensor | None) -> Tensor:
        return ((real - self.b).square().mean() + (fake - self.a).square().mean()) / 2

    def _generator(self, fake: Tensor, real: Tensor) -> Tensor:
        return (fake - self.c).square().mean()

    def _accuracies(self, real: Tensor, fake: Tensor) -> tuple[Tensor, Tensor]:
        side = 1 if self.b > self.a else -1
        return super()._accuracies(side * real, side * fake)

    def _line(self, real: Tensor, fake: Tensor) -> float:
        return (self.a + self.b) / 2 * (1 if self.b > self.a else -1)


class Hinge(Adversarial):
    """L_D = E[max(0, 1 - D(x))] + E[max(0, 1 + D(G))], L_G = -E[D(G)].

    Lim and Ye 2017 (Geometric GAN); Miyato et al. 2018 (Spectral Normalization), equations 16 and 17.
    Scores beyond the margin teach the discriminator nothing more.
    """

    def _discriminator(self, real: Tensor, fake: Tensor, distance: Tensor | None) -> Tensor:
        return F.relu(1 - real).mean() + F.relu(1 + fake).mean()

    def _generator(self, fake: Tensor, real: Tensor) -> Tensor:
        return -fake.mean()


class LossSensitive(Adversarial):
    """LS-GAN: fake pictures shall score lower than real ones by a margin that grows with their distance.

    Qi 2017 (Loss-Sensitive GANs on Lipschitz Densities): for a loss function L that is low for real
    pictures, L_D = E[max(0, margin * distance(x, G) + L(x) - L(G))] + gamma E[L(x)] and L_G = E[L(G)]. As elsewhere
    here a high score means real, L = -D, so that any discriminator fits. The author's code has gamma = 0 and so has
    this by default: without a bound on L, as its last layer there is one, that term has no minimum.

    Args:
        margin: what a distance of 1 is worth in scores. The author's code has 0.0002 for the summed absolute
            difference of 64x64 RGB pictures, 2.5 for the mean one.
        gamma: weight of the term that lowers the loss of real pictures.

    A map of scores is averaged a picture first. `distance` is the method's choice, in the paper the L1 distance.

    Raises:
        ConfigError: `margin` is not above 0 or `gamma` is below.
    """

    paired_samples: ClassVar[bool] = True

    def __init__(self, margin: float = 1.0, gamma: float = 0.0) -> None:
        super().__init__()
        if margin <= 0 or gamma < 0:
            raise ConfigError(f"loss-sensitive: margin = {margin} must be above 0 and gamma = {gamma} not below")
        self.margin = margin
        self.gamma = gamma

    def _discriminator(self, real: Tensor, fake: Tensor, distance: Tensor | None) -> Tensor:
        assert distance is not None
        loss_real, loss_fake = -_a_picture(real), -_a_picture(fake)
        needed = self.margin * distance.detach().to(loss_real) + loss_real - loss_fake
        return F.relu(needed).mean() + self.gamma * loss_real.mean()

    def _generator(self, fake: Tensor, real: Tensor) -> Tensor:
        return -fake.mean()

    def _line(self, real: Tensor, fake: Tensor) -> Tensor:
        return middle(real, fake)


def _a_picture(scores: Tensor) -> Tensor:
    return scores.flatten(1).mean(1) if scores.dim() > 1 else scores
