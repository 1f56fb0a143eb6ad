"""Penalties on the gradient of the discriminator with respect to the picture. Unweighted: the config has the weight."""

from abc import ABC, abstractmethod
from collections.abc import Callable

import torch
from torch import Tensor

from img2img.objectives.game import Scores

Discriminate = Callable[[Tensor], Scores]


class Penalty(ABC):
    """`penalty(discriminate, real, fake)` returns a scalar to add to the discriminator's loss.

    `discriminate` maps pictures to scores; for a conditional discriminator, the caller binds the condition. `real` and
    `fake` are `[N, ...]` of one shape and are detached. The gradient is that of the sum of all scores over all
    positions and scales, as in the official codes. It is computed in float32 without autocast, because half precision
    loses it; the backward pass through it reaches the discriminator's weights. Batch norm in the discriminator mixes
    the gradients of different pictures, so do not combine it with these penalties (Gulrajani et al. 2017, section 4).
    """

    def __call__(self, discriminate: Discriminate, real: Tensor, fake: Tensor) -> Tensor:
        with torch.autocast(real.device.type, enabled=False), torch.enable_grad():
            where = self._where(real.detach().float(), fake.detach().float()).requires_grad_()
            scores = discriminate(where)
            each = [scores] if isinstance(scores, Tensor) else scores
            total = torch.stack([score.float().sum() for score in each]).sum()
            (gradient,) = torch.autograd.grad(total, where, create_graph=True)
            return self._cost(gradient.flatten(1))

    @abstractmethod
    def _where(self, real: Tensor, fake: Tensor) -> Tensor:
        """Return the pictures at which to take the gradient."""

    @abstractmethod
    def _cost(self, gradient: Tensor) -> Tensor:
        """Return the penalty for gradients `[N, values]`."""


class GradientPenalty(Penalty):
    """E[(|grad D(u x + (1 - u) G)| - centre)^2], with one u ~ U(0, 1) per picture.

    Gulrajani et al. 2017 (Improved Training of Wasserstein GANs), equation 3, weight 10.

    Args:
        centre: target for the norm of the gradients; Thanh-Tung et al. 2019 use 0.
    """

    def __init__(self, centre: float = 1.0) -> None:
        self.centre = centre

    def _where(self, real: Tensor, fake: Tensor) -> Tensor:
        share = torch.rand([len(real)] + [1] * (real.dim() - 1), device=real.device)
        return share * real + (1 - share) * fake

    def _cost(self, gradient: Tensor) -> Tensor:
        norm: Tensor = torch.linalg.vector_norm(gradient, dim=1)
        return (norm - self.centre).square().mean()


class LocalGradientPenalty(GradientPenalty):
    """E[(|grad D(x + d)| - centre)^2] with a perturbation d: penalises gradients near the real pictures only.

    Kodali et al. 2017 (On Convergence and Stability of GANs), weight 10. The paper writes Gaussian noise. The authors'
    code, followed here, uses d = u noise std(x) n with n ~ U(0, 1) per value and one u ~ U(0, 1) per picture.

    Args:
        centre: target for the norm of the gradients.
        noise: size of the perturbation in standard deviations of the batch.
    """

    def __init__(self, centre: float = 1.0, noise: float = 0.5) -> None:
        super().__init__(centre)
        self.noise = noise

    def _where(self, real: Tensor, fake: Tensor) -> Tensor:
        perturbed = real + self.noise * real.std() * torch.rand_like(real)
        return super()._where(real, perturbed)


class R1(Penalty):
    """1/2 E[|grad D(x)|^2] at real pictures. Mescheder et al. 2018, equation 9; weight 10 there.

    "Which Training Methods for GANs do actually Converge?" The factor 1/2 is the paper's.
    """

    def _where(self, real: Tensor, fake: Tensor) -> Tensor:
        return real

    def _cost(self, gradient: Tensor) -> Tensor:
        return gradient.square().sum(1).mean() / 2


class R2(R1):
    """1/2 E[|grad D(G)|^2] at fake pictures. Mescheder et al. 2018, equation 10."""

    def _where(self, real: Tensor, fake: Tensor) -> Tensor:
        return fake
