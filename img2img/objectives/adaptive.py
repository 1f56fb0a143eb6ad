"""How often the discriminator's input is augmented, adapted to how much the discriminator overfits."""

from typing import Any

import torch
from torch import Tensor

from img2img.objectives.processes import mean_over_processes, processes

INTERVAL = 4
"""Batches between two changes of the probability (Karras et al. 2020, section 3)."""

SPAN = 500_000
"""Pictures over which the probability can rise from 0 to 1 (Karras et al. 2020, section 3)."""


class AdaptiveProbability:
    """The probability p of each augmentation, which rises while the discriminator is too sure of real pictures.

    Karras et al. 2020 (ADA), section 3: r_t = E[sign(D(real))] over four batches. If it is above the target, p rises,
    else it falls, by as much as lets p go from 0 to 1 within 500,000 real pictures. p starts at 0. An r_t of 0 means no
    overfitting, 1 full overfitting.

    Scores have another threshold than 0 with some objectives. The sign is therefore that of the decision: +1 for a real
    picture judged real and -1 for one judged fake (`Adversarial.accuracies`).

    Args:
        target: value of r_t to keep; the paper uses 0.6.
        batch: pictures of a batch, over all processes.

    Attributes:
        p: the probability, a scalar in 0..1, equal in all processes.
    """

    def __init__(self, target: float, batch: int) -> None:
        self.target = target
        self.interval = INTERVAL * batch
        self.p = torch.zeros(())
        self._signs = torch.zeros(())
        self._pictures = 0

    @torch.no_grad()
    def update(self, accuracy: Tensor, pictures: int) -> None:
        """Count a batch or a part of one. Changes p after every fourth batch.

        Args:
            accuracy: share of the real pictures that were judged real, a scalar in 0..1.
            pictures: number of real pictures in this process.
        """
        signs = (2 * accuracy.detach().float() - 1) * pictures
        self._signs = self._signs.to(signs) + signs
        self._pictures += pictures
        seen = self._pictures * processes()
        if seen < self.interval:
            return
        r_t = mean_over_processes(self._signs) / self._pictures
        self.p = (self.p.to(r_t) + torch.sign(r_t - self.target) * seen / SPAN).clamp(0, 1)
        self._signs = torch.zeros_like(self._signs)
        self._pictures = 0

    def state_dict(self) -> dict[str, Any]:
        return {"p": self.p.cpu(), "signs": self._signs.cpu(), "pictures": self._pictures}

    def load_state_dict(self, state: dict[str, Any], /) -> None:
        self.p, self._signs, self._pictures = state["p"], state["signs"], state["pictures"]
