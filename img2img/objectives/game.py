"""The game between generator and discriminator: what every flavour of it has in common."""

from abc import abstractmethod
from collections.abc import Sequence
from typing import ClassVar

import torch
from torch import Tensor, nn

Scores = Tensor | Sequence[Tensor]
"""What a discriminator says: `[N]`, `[N, 1]` or a map `[N, C, h, w]`; or one of these a scale, for discriminators that
look at several scales. Every value of a map counts alike, every scale counts alike. Scores are raw: no objective wants
a sigmoid at the end of the discriminator."""


class Adversarial(nn.Module):
    """An adversarial objective: one loss for the discriminator, one for the generator, both to be minimised.

    Both are means over the batch, the map and the scales, computed in at least float32. Subclasses say what happens
    at one scale. State that an objective keeps (BEGAN's k) is in its state dict.
    """

    penalty: ClassVar[str | None] = None
    """The gradient penalty, a word of `objectives.PENALTIES`, that defines the objective."""

    clip: float | None = None
    """Largest absolute value of the discriminator's weights, to be enforced after each of its updates."""

    energy: ClassVar[bool] = False
    """Whether the scores are energies, >= 0 and low for real pictures: an auto-encoder's reconstruction error."""

    paired_samples: ClassVar[bool] = False
    """Whether `discriminator` needs the distance between each real picture and its fake one."""

    needs_real: ClassVar[bool] = False
    """Whether `generator` needs the scores of real pictures too."""

    def discriminator(self, real: Scores, fake: Scores, distance: Tensor | None = None) -> Tensor:
        """The discriminator's loss.

        Args:
            real: scores of real pictures.
            fake: scores of generated ones; the generator's graph should be cut off before.
            distance: `[N]`, between each real and fake picture, >= 0; only where `paired_samples`.
        """
        if self.paired_samples and distance is None:
            raise ValueError(f"{type(self).__name__} needs the distance between real and fake pictures")
        losses = [self._discriminator(r, f, distance) for r, f in zip(_scales(real), _scales(fake), strict=True)]
        return torch.stack(losses).mean()

    def generator(self, fake: Scores, real: Scores | None = None) -> Tensor:
        """The generator's loss from the scores of its pictures, and of real ones where `needs_real`."""
        if self.needs_real and real is None:
            raise ValueError(f"{type(self).__name__} compares fake with real: the generator's loss needs real scores")
        fakes = _scales(fake)
        reals = _scales(real) if self.needs_real and real is not None else fakes  # unused where not needed
        return torch.stack([self._generator(f, r) for f, r in zip(fakes, reals, strict=True)]).mean()

    @torch.no_grad()
    def accuracies(self, real: Scores, fake: Scores) -> tuple[Tensor, Tensor]:
        """Shares, 0..1, of real scores judged real and of fake ones judged fake: 1 and 1 is a discriminator that wins.

        The line between them is the objective's own: 0 for logits and hinge, halfway between the labels for LSGAN,
        f'(1) for f-GAN, the other sample for the relativistic ones. Critics and energies have no fixed line; theirs is
        the middle between the mean of the real and that of the fake scores.
        """
        shares = [self._accuracies(r, f) for r, f in zip(_scales(real), _scales(fake), strict=True)]
        reals, fakes = zip(*shares, strict=True)
        return torch.stack(reals).mean(), torch.stack(fakes).mean()

    @abstractmethod
    def _discriminator(self, real: Tensor, fake: Tensor, distance: Tensor | None) -> Tensor:
        """The discriminator's loss at one scale."""

    @abstractmethod
    def _generator(self, fake: Tensor, real: Tensor) -> Tensor:
        """The generator's loss at one scale; `real` is to be ignored unless `needs_real`."""

    def _accuracies(self, real: Tensor, fake: Tensor) -> tuple[Tensor, Tensor]:
        line = self._line(real, fake)
        if self.energy:
            return _share(real < line), _share(fake > line)
        return _share(real > line), _share(fake < line)

    def _line(self, real: Tensor, fake: Tensor) -> Tensor | float:
        """The score above which a picture is judged real."""
        return 0.0


def middle(real: Tensor, fake: Tensor) -> Tensor:
    """Halfway between the mean scores: the line of objectives without a fixed one."""
    return (real.mean() + fake.mean()) / 2


def _share(judged: Tensor) -> Tensor:
    return judged.float().mean()


def _scales(scores: Scores) -> list[Tensor]:
    # half precision overflows in exponentials and loses small differences of means
    each = [scores] if isinstance(scores, Tensor) else scores
    return [score.float() if score.dtype in (torch.float16, torch.bfloat16) else score for score in each]
