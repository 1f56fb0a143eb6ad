"""Adversarial training: the losses of generator and discriminator, and the setup of discriminators in a method."""

from collections.abc import Callable, Mapping

import torch
from torch import Tensor, nn

from img2img import networks, objectives
from img2img.errors import ConfigError
from img2img.methods.config import AdversarialConfig, MatchingConfig
from img2img.methods.gan import GANConfig
from img2img.methods.method import Method, OptimiserSpec, Stateful
from img2img.objectives.feature_matching import FeatureMatching
from img2img.objectives.recorder import Recorder

Scorer = Callable[[Tensor], Tensor | list[Tensor]]
"""From pictures to scores: the discriminator, with whatever it is conditioned on already filled in."""

_NORMS_OVER_THE_BATCH = (nn.BatchNorm1d, nn.BatchNorm2d)


def add_discriminators(
    method: Method, config: GANConfig, discriminators: Mapping[str, nn.Module]
) -> dict[str, "AdversarialLoss"]:
    """Train `discriminators` in `method`, against its generators.

    Adds the networks, the optimiser "discriminator" that moves all of them, the number of batches that a step gets,
    and the state of the adversarial losses, which checkpoints hold.

    Args:
        discriminators: name to network; names are "discriminator", or "discriminator_" with a suffix where there are
            several.

    Returns:
        The losses of each discriminator and the generators against it, under the same names.

    Raises:
        ConfigError: the objective, the penalty and a discriminator do not fit together.
    """
    losses = {
        name: AdversarialLoss(config.adversarial, config.matching, network) for name, network in discriminators.items()
    }
    bound = next(iter(losses.values())).bound  # set by the objective, which is the same for all
    method.networks.update(discriminators)
    method.optimisers["discriminator"] = OptimiserSpec(tuple(discriminators), config.discriminator_optimiser, bound)
    method.batches = config.adversarial.discriminator_steps
    state = {
        part + name.removeprefix("discriminator"): value
        for name, loss in losses.items()
        for part, value in loss.state.items()
    }
    method.state = {**method.state, **state}
    return losses


class AdversarialLoss:
    """The losses of a generator and a discriminator, as configured.

    Args:
        config: objective, penalty and their weights.
        matching: feature matching, in addition or alone (`config.weight = 0`: CVAE-GAN, Bao et al. 2017).
        discriminator: judged to fit the objective; its activations are what is matched.

    Attributes:
        bound: what the discriminator's weights are to be kept within (`OptimiserSpec.bound`), or None.
        state: moving values of the objectives, for `Method.state`.

    Raises:
        ConfigError: the words do not fit each other.
    """

    def __init__(self, config: AdversarialConfig, matching: MatchingConfig, discriminator: nn.Module) -> None:
        self.config = config
        self.objective = objectives.adversarial(config.name, **config.options)
        self.bound = self.objective.clip
        word = config.penalty or self.objective.penalty
        self.penalty = objectives.penalty(word) if word and config.penalty_weight else None
        self._check(discriminator, word)
        self.matching = FeatureMatching(matching.kind, matching.distance) if matching.weight else None
        self.matching_weight = matching.weight
        self._recorder = Recorder(discriminator, matching.layers) if matching.weight else None
        if not config.weight and not matching.weight:
            raise ConfigError("adversarial.weight and matching.weight are 0: the discriminator would teach nobody")
        self.state: Mapping[str, Stateful] = {
            name: part
            for name, part in (("objective", self.objective), ("matching", self.matching))
            if part is not None
        }
        if self.penalty is not None or self._recorder is not None:
            setattr(discriminator, networks.EAGER, True)
        self._gradient: Tensor | None = None

    def discriminator_loss(self, discriminate: Scorer, real: Tensor, fake: Tensor) -> tuple[Tensor, dict[str, Tensor]]:
        """What the discriminator descends, and its figures.

        Args:
            real, fake: pictures `[N, C, H, W]` of one shape; no gradient flows back into `fake`.
        """
        self.objective.to(real.device)
        fake = fake.detach()
        scores_real, scores_fake = discriminate(real), discriminate(fake)
        distance = (real - fake).abs().flatten(1).mean(1) if self.objective.paired_samples else None
        loss = self.objective.discriminator(scores_real, scores_fake, distance)
        right_real, right_fake = self.objective.accuracies(scores_real, scores_fake)
        figures = {"discriminator": loss.detach(), "accuracy_real": right_real, "accuracy_fake": right_fake}
        if self.penalty is not None:
            penalty = self.penalty(discriminate, real, fake)
            figures["penalty"] = penalty.detach()
            loss = loss + self.config.penalty_weight * penalty
        return loss, figures

    def generator_loss(
        self, discriminate: Scorer, fake: Tensor, real: Tensor, labels: Tensor | None = None
    ) -> tuple[Tensor, dict[str, Tensor]]:
        """What the generator descends, weighted as configured, and its figures.

        Args:
            labels: class of each picture, int64 `[N]`, for feature matching by class.
        """
        self.objective.to(fake.device)
        seen = fake.view_as(fake)
        if seen.requires_grad:
            seen.register_hook(self._note)  # type: ignore[no-untyped-call]
        loss = fake.new_zeros(())
        figures: dict[str, Tensor] = {}
        scores_real = None
        if self._recorder is None or self.matching is None:
            if self.objective.needs_real:
                with torch.no_grad():
                    scores_real = discriminate(real)
            scores = discriminate(seen)
        else:
            self.matching.to(fake.device)
            with torch.no_grad(), self._recorder as features_real:
                scores_real = discriminate(real)
            with self._recorder as features_fake:
                scores = discriminate(seen)
            matched = self.matching(features_real, features_fake, labels)
            figures["matching"] = matched.detach()
            loss = loss + self.matching_weight * matched
        if self.config.weight:
            adversarial = self.objective.generator(scores, scores_real)
            figures["adversarial"] = adversarial.detach()
            loss = loss + self.config.weight * adversarial
        return loss, figures

    def gradient(self) -> dict[str, Tensor]:
        """Norm of the gradient that the last generator loss sent to the generator's output; empty before that."""
        return {} if self._gradient is None else {"gradient/adversarial": self._gradient}

    def _note(self, gradient: Tensor) -> None:
        self._gradient = gradient.detach().float().norm()

    def _check(self, discriminator: nn.Module, penalty: str | None) -> None:
        if self.objective.energy and not getattr(discriminator, "energy", False):
            raise ConfigError(
                f"adversarial.name = {self.config.name} judges by reconstruction: --set discriminator.name=auto-encoder"
            )
        if not self.objective.energy and getattr(discriminator, "energy", False):
            raise ConfigError(
                f"discriminator.name = auto-encoder gives energies: adversarial.name must be ebgan or began, "
                f"not {self.config.name}"
            )
        if penalty and any(isinstance(module, _NORMS_OVER_THE_BATCH) for module in discriminator.modules()):
            raise ConfigError(
                f"adversarial.penalty = {penalty} looks at each picture alone, batch norm mixes them (Gulrajani et al. "
                "2017, section 4): --set discriminator.options.norm=instance or none"
            )
