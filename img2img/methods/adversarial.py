"""Adversarial training: the losses of generator and discriminator, and the setup of discriminators in a method."""

from collections.abc import Callable, Mapping, Sequence
from contextlib import AbstractContextManager, nullcontext
from typing import Protocol, runtime_checkable

import torch
from torch import Tensor, nn

from img2img import networks, objectives
from img2img.errors import ConfigError
from img2img.methods.config import AdversarialConfig, MatchingConfig
from img2img.methods.gan import GANConfig
from img2img.methods.method import Method, OptimiserSpec, Stateful
from img2img.networks.auto_encoder import AutoEncoder
from img2img.objectives.adaptive import AdaptiveProbability
from img2img.objectives.augment import Augment
from img2img.objectives.feature_matching import FeatureMatching
from img2img.objectives.pulling_away import PullingAway
from img2img.objectives.recorder import Recorder

Scorer = Callable[[Tensor], Tensor | list[Tensor]]
"""From pictures to scores: a discriminator, with its condition already filled in where it has one."""

_NORMS_OVER_THE_BATCH = (nn.BatchNorm1d, nn.BatchNorm2d)


@runtime_checkable
class WithClassifier(Protocol):
    """A discriminator that also classifies.

    Attributes:
        classifier_parts: names of the parts that only the classification uses. They do not belong to the critic, so a
            bound on its weights does not apply to them. A trunk that both share belongs to the critic.
    """

    classifier_parts: tuple[str, ...]


@runtime_checkable
class WithScales(Protocol):
    """A discriminator that looks at a picture at several scales.

    Attributes:
        matching_share: weight of each of its layers in feature matching.
    """

    matching_share: float


def add_discriminators(
    method: Method,
    config: GANConfig,
    discriminators: Mapping[str, nn.Module],
    *,
    pictures: Sequence[slice] = (slice(None),),
    signed: bool = True,
    halve: bool = False,
) -> dict[str, "AdversarialLoss"]:
    """Add `discriminators` to `method` and return their losses.

    This adds the networks, one optimiser "discriminator" that updates all of them, the number of batches per step, and
    the state of the losses, which checkpoints hold. With `config.discriminator_augment`, the discriminators augment
    their input.

    Args:
        discriminators: name to network. A single one is called "discriminator", several "discriminator_" plus a suffix.

        pictures: the channels of each picture in the input of a discriminator. Other channels are labels or masks.
        signed: pictures are in -1..1 instead of 0..1.
        halve: see `AdversarialLoss`.

    Returns:
        The losses of each discriminator and of the generator against it, under the same names.

    Raises:
        ConfigError: objective, penalty and discriminator do not fit together, or settings of the augmentation do not.
    """
    if config.discriminator_augment_target is not None and not config.discriminator_augment:
        raise ConfigError(
            "discriminator_augment_target adapts augmentations, but discriminator_augment is empty: "
            "set it, for example to ['color', 'translation', 'cutout']"
        )
    if config.adversarial.pulling_away and config.batch_of_a_part < 2:
        raise ConfigError(
            f"adversarial.pulling_away compares pictures, but batch = {config.batch} in accumulate = "
            f"{config.accumulate} parts leaves one picture in each part: raise batch"
        )
    losses = {}
    for name, network in discriminators.items():
        augment = None
        if config.discriminator_augment:
            target = config.discriminator_augment_target
            probability = None if target is None else AdaptiveProbability(target, config.batch)
            kinds = config.discriminator_augment
            augment = Augment(kinds, pictures=pictures, signed=signed, probability=probability)
            augment.attach(network)
        losses[name] = AdversarialLoss(config.adversarial, config.matching, network, augment, halve=halve)
    bound = next(iter(losses.values())).bound  # set by the objective, which is the same for all
    method.networks.update(discriminators)
    unbounded = tuple(
        f"{name}.{part}"
        for name, network in discriminators.items()
        if isinstance(network, WithClassifier)
        for part in network.classifier_parts
    )
    method.optimisers["discriminator"] = OptimiserSpec(
        tuple(discriminators), config.discriminator_optimiser, bound, unbounded
    )
    method.batches = config.adversarial.discriminator_steps
    state = {
        part + name.removeprefix("discriminator"): value
        for name, loss in losses.items()
        for part, value in loss.state.items()
    }
    method.state = {**method.state, **state}
    return losses


class AdversarialLoss:
    """The losses of a generator and a discriminator.

    Args:
        config: objective, penalty and their weights.
        matching: feature matching, in addition to the objective or alone (`config.weight = 0`: CVAE-GAN, Bao et al.
            2017).
        discriminator: checked against the objective. Feature matching records its activations.
        augment: what `discriminator` does to its input, if anything. Pictures that the loss compares one by one get the
            same random numbers.
        halve: minimise half the discriminator's loss, to slow the discriminator down (Isola et al. 2017, section 3.3;
            the official code of pix2pix and CycleGAN takes the mean of the losses on real and on fake pictures). No
            effect on objectives that are such a mean already (`Adversarial.halved`): nothing is halved twice.

    Attributes:
        bound: bound on the weights of the discriminator (`OptimiserSpec.bound`), or None.
        state: moving values of the objectives, for `Method.state`.

    Raises:
        ConfigError: objective, penalty and discriminator do not fit together.
    """

    def __init__(
        self,
        config: AdversarialConfig,
        matching: MatchingConfig,
        discriminator: nn.Module,
        augment: Augment | None = None,
        *,
        halve: bool = False,
    ) -> None:
        self.config = config
        self.augment = augment
        self.objective = objectives.adversarial(config.name, **config.options)
        self.bound = self.objective.clip
        self._share = 0.5 if halve and not self.objective.halved else 1.0
        name = config.penalty or self.objective.penalty
        self.penalty = objectives.penalty(name) if name and config.penalty_weight else None
        self._check(discriminator, name)
        self.matching = FeatureMatching(matching.kind, matching.distance) if matching.weight else None
        self.matching_weight = matching.weight
        self._recorder = Recorder(discriminator, matching.layers) if matching.weight else None
        self._layer_weights = _layer_weights(discriminator)
        if not config.weight and not matching.weight:
            raise ConfigError("adversarial.weight and matching.weight are 0: the discriminator would have no effect")
        self._probability = None if augment is None else augment.probability
        self._codes = _codes(discriminator) if config.pulling_away else None
        self._pulling_away = PullingAway()
        self.state: Mapping[str, Stateful] = {
            name: part
            for name, part in (
                ("objective", self.objective),
                ("matching", self.matching),
                ("augment", self._probability),
            )
            if part is not None
        }
        watched = self._recorder is not None or self._codes is not None
        if self.penalty is not None or watched or augment is not None:
            setattr(discriminator, networks.EAGER, True)
        self._gradient: Tensor | None = None

    def discriminator_loss(self, scorer: Scorer, real: Tensor, fake: Tensor) -> tuple[Tensor, dict[str, Tensor]]:
        """Return the loss of the discriminator to minimise, and its figures, which are not halved.

        Args:
            scorer: the discriminator.
            real, fake: pictures `[N, C, H, W]` of the same shape. No gradient flows back into `fake`.
        """
        self.objective.to(real.device)
        fake = fake.detach()
        with self._same_augmentation(paired=self.objective.paired_samples):
            scores_real, scores_fake = scorer(real), scorer(fake)
        distance = (real - fake).abs().flatten(1).mean(1) if self.objective.paired_samples else None
        loss = self.objective.discriminator(scores_real, scores_fake, distance)
        right_real, right_fake = self.objective.accuracies(scores_real, scores_fake)
        figures = {"discriminator": loss.detach(), "accuracy_real": right_real, "accuracy_fake": right_fake}
        if self._probability is not None:
            self._probability.update(right_real, len(real))
            figures["augment"] = self._probability.p
        if self.penalty is not None:
            penalty = self.penalty(scorer, real, fake)
            figures["penalty"] = penalty.detach()
            loss = loss + self.config.penalty_weight * penalty
        return self._share * loss, figures

    def generator_loss(
        self, scorer: Scorer, fake: Tensor, real: Tensor, labels: Tensor | None = None
    ) -> tuple[Tensor, dict[str, Tensor]]:
        """Return the weighted loss of the generator, and its figures.

        Args:
            scorer: the discriminator.
            labels: class of each picture, int64 `[N]`, for feature matching by class.
        """
        self.objective.to(fake.device)
        probe = fake.view_as(fake)
        if probe.requires_grad:
            probe.register_hook(self._record_gradient)  # type: ignore[no-untyped-call]
        loss = fake.new_zeros(())
        figures: dict[str, Tensor] = {}
        scores_real = None
        codes: list[Tensor] = []
        if self._codes is not None:
            scorer = _keeping_codes(scorer, self._codes, codes)
        if self._recorder is None or self.matching is None:
            if self.objective.needs_real:
                with torch.no_grad():
                    scores_real = scorer(real)
            scores = scorer(probe)
        else:
            self.matching.to(fake.device)
            with self._same_augmentation(paired=self.matching.kind == "pairwise"):
                with torch.no_grad(), self._recorder as features_real:
                    scores_real = scorer(real)
                with self._recorder as features_fake:
                    scores = scorer(probe)
            weights = [self._layer_weights.get(layer, 1.0) for layer in self._recorder.modules]
            matched = self.matching(features_real, features_fake, labels, weights=weights)
            figures["matching"] = matched.detach()
            loss = loss + self.matching_weight * matched
        if self.config.weight:
            adversarial = self.objective.generator(scores, scores_real)
            figures["adversarial"] = adversarial.detach()
            loss = loss + self.config.weight * adversarial
        if codes:
            pulling_away = self._pulling_away(codes[0])
            figures["pulling_away"] = pulling_away.detach()
            loss = loss + self.config.pulling_away * pulling_away
        return loss, figures

    def gradient(self) -> dict[str, Tensor]:
        """Return the norm of the gradient that the last generator loss sent to the generator's output. Empty before the
        first one.
        """
        return {} if self._gradient is None else {"gradient/adversarial": self._gradient}

    def _same_augmentation(self, *, paired: bool) -> AbstractContextManager[None]:
        return self.augment.same() if paired and self.augment is not None else nullcontext()

    def _record_gradient(self, gradient: Tensor) -> None:
        self._gradient = gradient.detach().float().norm()

    def _check(self, discriminator: nn.Module, penalty: str | None) -> None:
        if self.objective.energy and not getattr(discriminator, "energy", False):
            raise ConfigError(
                f"adversarial.name = {self.config.name} needs an auto-encoder: --set discriminator.name=auto-encoder"
            )
        if self.config.pulling_away and not self.objective.energy:
            raise ConfigError(
                "adversarial.pulling_away needs the codes of an auto-encoder: --set discriminator.name=auto-encoder "
                "--set adversarial.name=ebgan"
            )
        if not self.objective.energy and getattr(discriminator, "energy", False):
            raise ConfigError(
                f"discriminator.name = auto-encoder outputs energies: adversarial.name must be ebgan or began, "
                f"not {self.config.name}"
            )
        if penalty and any(isinstance(module, _NORMS_OVER_THE_BATCH) for module in discriminator.modules()):
            raise ConfigError(
                f"adversarial.penalty = {penalty} needs the gradient of each picture, but batch norm mixes the batch "
                "(Gulrajani et al. 2017, section 4): --set discriminator.options.norm=instance or none"
            )


def _codes(discriminator: nn.Module) -> Recorder:
    """Return a recorder of the codes of the auto-encoder that is, or is a part of, `discriminator`."""
    name = next(name for name, part in discriminator.named_modules() if isinstance(part, AutoEncoder))
    return Recorder(discriminator, [f"{name}.narrow".removeprefix(".")])


def _keeping_codes(scorer: Scorer, recorder: Recorder, codes: list[Tensor]) -> Scorer:
    """Return `scorer`, which then also puts the codes of its last call into `codes`."""

    def score(pictures: Tensor) -> Tensor | list[Tensor]:
        with recorder as recorded:
            scores = scorer(pictures)
        codes[:] = recorded
        return scores

    return score


def _layer_weights(discriminator: nn.Module) -> dict[nn.Module, float]:
    """Return the weights in feature matching of the layers of multi-scale discriminators. All others have weight 1."""
    parts = [part for part in discriminator.modules() if isinstance(part, WithScales)]
    return {layer: part.matching_share for part in parts for layer in part.modules()}
