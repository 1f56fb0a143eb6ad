"""Adversarial objectives for an auto-encoder as discriminator. Its reconstruction error is the energy, E >= 0."""

from typing import ClassVar

import torch
from torch import Tensor
from torch.nn import functional as F

from img2img.errors import ConfigError
from img2img.objectives.game import Adversarial, Scores, midpoint
from img2img.objectives.processes import mean_over_processes


class EBGAN(Adversarial):
    """L_D = E[E(x)] + E[max(0, margin - E(G))], L_G = E[E(G)].

    Zhao et al. 2017 (Energy-based GANs), equations 1 and 2. The discriminator lowers the energy of real pictures and
    raises that of fake ones up to the margin. At equilibrium, both are at most the margin (theorems 1 and 2).

    Args:
        margin: the energy to which the discriminator raises fake pictures, in the discriminator's own unit. With a mean
            squared or absolute error per value and pictures in -1..1, an untrained auto-encoder gives about 0.5.

    Raises:
        ConfigError: `margin` is not above 0.
    """

    energy: ClassVar[bool] = True

    def __init__(self, margin: float = 1.0) -> None:
        super().__init__()
        if margin <= 0:
            raise ConfigError(f"ebgan: margin = {margin} must be above 0; it is the energy of fake pictures")
        self.margin = margin

    def _discriminator(self, real: Tensor, fake: Tensor, distance: Tensor | None) -> Tensor:
        return real.mean() + F.relu(self.margin - fake).mean()

    def _generator(self, fake: Tensor, real: Tensor) -> Tensor:
        return fake.mean()

    def _threshold(self, real: Tensor, fake: Tensor) -> Tensor:
        return midpoint(real, fake)


class BEGAN(Adversarial):
    """L_D = E[E(x)] - k E[E(G)], L_G = E[E(G)]. The weight k keeps E[E(G)] near gamma E[E(x)].

    Berthelot et al. 2017 (BEGAN), section 3.4: k <- k + rate (gamma E(x) - E(G)), clamped to 0..1 and starting at 0.
    `discriminator` updates k from the fake pictures it gets, in training mode only.

    Args:
        gamma: diversity, above 0. Lower values give better pictures of fewer kinds; the paper uses 0.3 to 0.7.
        rate: the paper's lambda_k.

    Attributes:
        k: weight of the fake energies; part of the state dict.
        convergence: the paper's measure E(x) + |gamma E(x) - E(G)| at the last update. It falls as training succeeds.

    Raises:
        ConfigError: `gamma` or `rate` is not above 0.
    """

    energy: ClassVar[bool] = True
    k: Tensor
    convergence: Tensor

    def __init__(self, gamma: float = 0.5, rate: float = 0.001) -> None:
        super().__init__()
        if gamma <= 0 or rate <= 0:
            raise ConfigError(f"began: gamma = {gamma} and rate = {rate} must be above 0")
        self.gamma = gamma
        self.rate = rate
        self.register_buffer("k", torch.zeros(()))
        self.register_buffer("convergence", torch.zeros(()))

    def discriminator(self, real: Scores, fake: Scores, distance: Tensor | None = None) -> Tensor:
        loss = super().discriminator(real, fake, distance)
        if self.training:
            self._balance(real, fake)
        return loss

    @torch.no_grad()
    def _balance(self, real: Scores, fake: Scores) -> None:
        # k must be equal in all processes, because the checkpoint saves only one of them.
        energy_real, energy_fake = mean_over_processes(torch.stack([_energy(real), _energy(fake)]))
        surplus = self.gamma * energy_real - energy_fake
        # Not in place: the graph of the loss needs the old k. Also moves k to the device of the scores.
        self.k = (self.k.to(surplus) + self.rate * surplus).clamp(0, 1)
        self.convergence = energy_real + surplus.abs()

    def _discriminator(self, real: Tensor, fake: Tensor, distance: Tensor | None) -> Tensor:
        return real.mean() - self.k.to(fake) * fake.mean()

    def _generator(self, fake: Tensor, real: Tensor) -> Tensor:
        return fake.mean()

    def _threshold(self, real: Tensor, fake: Tensor) -> Tensor:
        return midpoint(real, fake)


def _energy(scores: Scores) -> Tensor:
    """Return the mean energy over the batch, summed over the scales as in the losses."""
    each = [scores] if isinstance(scores, Tensor) else scores
    return torch.stack([score.detach().float().mean() for score in each]).sum()
