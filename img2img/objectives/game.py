"""The base class of all adversarial objectives."""

from abc import abstractmethod
from collections.abc import Sequence
from typing import ClassVar

import torch
from torch import Tensor, nn

Scores = Tensor | Sequence[Tensor]
"""The output of a discriminator: `[N]`, `[N, 1]` or a map `[N, C, h, w]`, or one of these per scale for multi-scale
discriminators. Every value of a map has the same weight. Scores are raw: no objective expects a sigmoid at the end of
the discriminator.
"""


class Adversarial(nn.Module):
    """An adversarial objective: one loss for the discriminator and one for the generator, both minimised.

    Both losses are means over the batch and the map, and sums over the scales (pix2pixHD, Wang et al. 2018, equation
    3), computed in float32 or better. Subclasses define the losses at one scale. An objective with state (BEGAN's k)
    keeps it in its state dict.
    """

    penalty: ClassVar[str | None] = None
    """The gradient penalty that belongs to the objective: a name in `objectives.PENALTIES`."""

    clip: float | None = None
    """Largest absolute value of the discriminator's weights, enforced after each of its updates."""

    energy: ClassVar[bool] = False
    """Whether scores are energies, >= 0 and low for real pictures: the reconstruction error of an auto-encoder."""

    paired_samples: ClassVar[bool] = False
    """Whether `discriminator` needs the distance between each real picture and the matching fake one."""

    halved: ClassVar[bool] = False
    """Whether `discriminator`, as published, is the mean of its terms for real and for fake pictures and not their sum.
    Methods that halve the discriminator's loss must not halve it again.
    """

    needs_real: ClassVar[bool] = False
    """Whether `generator` also needs the scores of real pictures."""

    def discriminator(self, real: Scores, fake: Scores, distance: Tensor | None = None) -> Tensor:
        """Return the discriminator's loss.

        Args:
            real: scores of real pictures.
            fake: scores of generated pictures, detached from the generator's graph.
            distance: `[N]`, >= 0, between each real and fake picture; only if `paired_samples`.
        """
        if self.paired_samples and distance is None:
            raise ValueError(f"{type(self).__name__} needs the distances between real and fake pictures")
        losses = [self._discriminator(r, f, distance) for r, f in zip(_scales(real), _scales(fake), strict=True)]
        return torch.stack(losses).sum()

    def generator(self, fake: Scores, real: Scores | None = None) -> Tensor:
        """Return the generator's loss from the scores of its pictures, and of real pictures if `needs_real`."""
        if self.needs_real and real is None:
            raise ValueError(f"{type(self).__name__} compares fake with real: its generator loss needs real scores")
        fakes = _scales(fake)
        reals = _scales(real) if self.needs_real and real is not None else fakes  # a placeholder if not needed
        return torch.stack([self._generator(f, r) for f, r in zip(fakes, reals, strict=True)]).sum()

    @torch.no_grad()
    def accuracies(self, real: Scores, fake: Scores) -> tuple[Tensor, Tensor]:
        """Return the shares of real scores judged real and of fake scores judged fake, 0..1.

        Both are 1 if the discriminator wins. Each objective has its own threshold: 0 for logits and hinge, halfway
        between the labels for LSGAN, f'(1) for f-GAN, the other sample for the relativistic ones. Critics and energies
        have no fixed threshold; they use the midpoint between the mean real and the mean fake score.
        """
        shares = [self._accuracies(r, f) for r, f in zip(_scales(real), _scales(fake), strict=True)]
        reals, fakes = zip(*shares, strict=True)
        return torch.stack(reals).mean(), torch.stack(fakes).mean()

    @abstractmethod
    def _discriminator(self, real: Tensor, fake: Tensor, distance: Tensor | None) -> Tensor:
        """Return the discriminator's loss at one scale."""

    @abstractmethod
    def _generator(self, fake: Tensor, real: Tensor) -> Tensor:
        """Return the generator's loss at one scale. Implementations ignore `real` unless `needs_real`."""

    def _accuracies(self, real: Tensor, fake: Tensor) -> tuple[Tensor, Tensor]:
        threshold = self._threshold(real, fake)
        if self.energy:
            return _share(real < threshold), _share(fake > threshold)
        return _share(real > threshold), _share(fake < threshold)

    def _threshold(self, real: Tensor, fake: Tensor) -> Tensor | float:
        """Return the score above which a picture counts as real."""
        return 0.0


def midpoint(real: Tensor, fake: Tensor) -> Tensor:
    """Return the midpoint of the mean scores: the threshold of objectives without a fixed one."""
    return (real.mean() + fake.mean()) / 2


def _share(judged: Tensor) -> Tensor:
    return judged.float().mean()


def _scales(scores: Scores) -> list[Tensor]:
    # In half precision, exponentials overflow and small differences between means vanish.
    each = [scores] if isinstance(scores, Tensor) else scores
    return [score.float() if score.dtype in (torch.float16, torch.bfloat16) else score for score in each]
