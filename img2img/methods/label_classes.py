"""What methods for pictures with one label each share: the data, the classifier and the validation."""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import torch
from pydantic import Field
from torch import Tensor, nn
from torch.nn import functional as F
from torch.utils.data import Dataset

from img2img.data.domains import DomainData
from img2img.data.labelled import DomainSet
from img2img.data.ranges import BatchSize, Count, Steps
from img2img.errors import ConfigError, DataError
from img2img.methods.adversarial import add_discriminators
from img2img.methods.cards import card_of
from img2img.methods.config import AdversarialConfig, MatchingConfig, NetworkConfig, OptimiserConfig, ScheduleConfig
from img2img.methods.domain_validation import DomainValidation
from img2img.methods.figures import Picture, to_pictures, to_signed
from img2img.methods.gan import ADAM, GANConfig
from img2img.methods.labels import ClassificationLoss
from img2img.methods.method import Batch, Facts, Method, OptimiserSpec, Validation
from img2img.networks import EAGER
from img2img.runtime.network.card import Card


class LabelConfig(GANConfig):
    """Pictures with one label each; Adam 2e-4 with batches of 128."""

    data: DomainData = Field(description="pictures of several labels, one folder each")
    code: Count = Field(default=100, description="length of the code of a picture (there: for example 100)")
    generator: NetworkConfig = Field(
        default=NetworkConfig(name="vector-generator"), description="generator, from a code and a label"
    )
    discriminator: NetworkConfig = Field(default=NetworkConfig(name="dcgan"), description="discriminator")
    classifier: NetworkConfig = Field(
        default=NetworkConfig(name="label-classifier"), description="classifier of labels, trained beside the others"
    )
    classifier_optimiser: OptimiserConfig = ADAM
    adversarial: AdversarialConfig = Field(
        default=AdversarialConfig(name="non-saturating", weight=0.0),
        description="adversarial objective. With weight 0 it trains the discriminator only, and the generator matches "
        "features instead (asymmetric training)",
    )
    steps: Steps = Field(default=100_000, description="training steps (the thesis does not say how many)")
    batch: BatchSize = Field(default=128, description="pictures per step, over all processes")
    schedule: ScheduleConfig = ScheduleConfig(shape="constant")


def read_labels(config: Any) -> DomainSet:
    """Read the pictures of `config` and check that each has one label.

    Args:
        config: a `RunConfig` whose data section is a `DomainData`.

    Raises:
        DataError: see `DomainSet.read`; or the labels are attributes, or come from several data sets, or a label has
            one training picture.
    """
    data = DomainSet.read(config.data, seed=config.seed)
    if len(data.blocks) > 1 or not data.exclusive:
        what = "several data sets" if len(data.blocks) > 1 else "a table of attributes"
        raise DataError(f"{config.method} takes one folder per label, not {what}: use stargan")
    counts = data.dataset.labels.values.sum(0)
    for name, count in zip(data.domains, counts, strict=True):
        if count < 2:
            raise DataError(
                f"{config.data.folders[0]}: label {name} has only one training picture; add more, or name the labels "
                "to use in data.attributes"
            )
    return data


def check_square(method: str, crop: int) -> None:
    """Raise ConfigError unless `crop` is a power of two, at least 16."""
    if crop < 16 or crop & (crop - 1):
        raise ConfigError(f"data.crop = {crop}: {method} needs a power of two, at least 16")


def build_square(
    config: GANConfig, role: str, crop: int, given: Sequence[Tensor], expected: Sequence[tuple[int, ...]], **fixed: Any
) -> nn.Module:
    """Build the network that `config` has as `role`, for square pictures of `crop` pixels.

    Args:
        given: inputs to try it with, for one picture.
        expected: the shapes that it must return. Fewer are compared if fewer are given here.
        fixed: see `GANConfig.build`.

    Raises:
        ConfigError: `crop` is not a power of two, or the network cannot be built or is of another kind.
    """
    check_square(config.method, crop)
    chosen: NetworkConfig = getattr(config, role)
    network = config.build(chosen, fixed=fixed, defaults={"size": crop})
    try:
        with torch.no_grad():
            found = network.eval()(*given)
        shapes = [tuple(one.shape) for one in (found if isinstance(found, tuple) else (found,))]
    except (TypeError, ValueError, RuntimeError, AttributeError) as error:
        raise ConfigError(f"{role}.name = {chosen.name} cannot be the {role} of {config.method}") from error
    finally:
        network.train()
    if shapes[: len(expected)] != list(expected):
        raise ConfigError(f"{role}.name = {chosen.name} cannot be the {role} of {config.method}")
    return network


class LabelMethod(Method):
    """A generator from a code and a label, a discriminator and a classifier.

    Batches hold `image` uint8 `[N, 3, crop, crop]` and `label` float32 `[N, K]`, one-hot.

    Attributes:
        labels: number of labels, K.
        matched_layers: layers of the discriminator whose features are matched; empty: all but the last.
    """

    headline = "closeness"
    data: DomainSet

    def __init__(self, config: LabelConfig, facts: Facts | None = None) -> None:
        self.settings = config
        self.notes = []
        if facts is None:
            self.data = read_labels(config)
            self.notes += self.data.notes
            facts = {"domains": list(self.data.domains)}
        self.facts = facts
        self.labels, crop = len(facts["domains"]), config.data.crop
        vector, picture = torch.zeros(1, config.code + self.labels), torch.zeros(1, 3, crop, crop)
        generator = build_square(
            config, "generator", crop, (vector,), [(1, 3, crop, crop)], inputs=vector.shape[1], outputs=3
        )
        classifier = build_square(config, "classifier", crop, (picture,), [(1, self.labels)], classes=self.labels)
        discriminator = build_square(config, "discriminator", crop, (picture,), [], inputs=3)
        self.networks = {"generator": generator, "classifier": classifier}
        self.optimisers = {
            "generator": OptimiserSpec(("generator",), config.optimiser),
            "classifier": OptimiserSpec(("classifier",), config.classifier_optimiser),
        }
        self.averaged = ("generator", "classifier")
        matching = with_published_layer(config.matching, discriminator)
        self.matched_layers = matching.layers
        setattr(discriminator, EAGER, True)  # layers are recorded by hooks, which compiled code does not run
        losses = add_discriminators(
            self, config.model_copy(update={"matching": matching}), {"discriminator": discriminator}
        )
        self.adversarial = losses["discriminator"]

    def load(self) -> Dataset[Batch]:
        self.validation = LabelValidation(self.data, self.settings.validate_pictures)
        return self.data.dataset

    def card(self, network: nn.Module, *, task: str = "translate", suffix: str = "", **facts: Any) -> Card:
        """Return the card of a model. Its pictures are resized to the crop inside the graph."""
        config = self.settings
        method = config.method
        return card_of(config, network, name=method, task=task, method=method, suffix=suffix, **facts)

    @property
    def latent(self) -> dict[str, Any]:
        """The card's entry for a model that takes a code."""
        return {"length": self.settings.code, "distribution": "normal"}

    @property
    def domains(self) -> dict[str, Any]:
        """The fields of a card whose model has the input `domain`."""
        return {"domains": tuple(self.facts["domains"]), "exclusive": True}


def with_published_layer(matching: MatchingConfig, discriminator: nn.Module) -> MatchingConfig:
    """Return `matching` with the layer that CVAE-GAN matches, if the discriminator names it and no layers are set."""
    layer = getattr(discriminator, "matched", None)
    if matching.layers or layer is None:
        return matching
    return matching.model_copy(update={"layers": (layer,)})


@contextmanager
def fixed_statistics(network: nn.Module) -> Iterator[None]:
    """Let batch norm use its running statistics inside the block, and not change them.

    A classifier that trains on real pictures then judges generated ones by the same measure, and their statistics do
    not get into its own.
    """
    norms = [one for one in network.modules() if isinstance(one, nn.BatchNorm2d | nn.SyncBatchNorm) and one.training]
    for one in norms:
        one.eval()
    try:
        yield
    finally:
        for one in norms:
            one.train()


def classification(logits: Tensor, label: Tensor) -> Tensor:
    """Return the cross-entropy of `logits` with one-hot labels, both `[N, K]` (Bao et al. 2017, equation 4.4)."""
    return F.cross_entropy(logits.float(), label)


class LabelValidation:
    """Measures pictures that were made for every label, on held-out pictures.

    Args:
        data: pictures with one label each.
        most: largest number of held-out pictures to use.
    """

    def __init__(self, data: DomainSet, most: int) -> None:
        self.inner = DomainValidation(data, ClassificationLoss(data.blocks, data.set_exclusive), most)

    def pictures(self, device: torch.device) -> Iterator[tuple[Tensor, Tensor, Tensor]]:
        """Yield each held-out picture `[1, 3, H, W]`, its label `[1, K]`, and all labels `[K, K]`."""
        for held in self.inner.sources:
            picture = to_signed(torch.from_numpy(held.picture).permute(2, 0, 1)[None].to(device))
            wanted, _ = self.inner.target_labels(held)
            yield picture, torch.from_numpy(held.label)[None].to(device), wanted.to(device)

    def measure(
        self, results: Sequence[Tensor], classifier: nn.Module, *, own: Sequence[Tensor] = ()
    ) -> tuple[dict[str, float], list[list[Picture]]]:
        """Return the figures of the results, and their pictures.

        Args:
            results: for each held-out picture, results `[K, 3, H, W]`, one per label.
            classifier: decides which label a result has (`recognised`), and that of the held-out pictures
                (`classified`).
            own: for each held-out picture, its reconstruction; their mean absolute error is `reconstruction`.
        """
        shown = [to_pictures(one) for one in results]
        logits = [classifier(one)[0].float().cpu() for one in results]
        figures = self.inner.measure(shown, logits)
        device = results[0].device
        right, errors = [], []
        for k, (picture, label, _) in enumerate(self.pictures(device)):
            right.append(bool((classifier(picture)[0].argmax(1) == label.argmax(1)).all()))
            if own:
                errors.append(float((own[k] - picture).abs().mean()) / 2)
        figures["classified"] = sum(right) / len(right)
        if own:
            figures["reconstruction"] = sum(errors) / len(errors)
        return figures, shown

    def result(self, figures: dict[str, float], shown: list[list[Picture]]) -> Validation:
        return Validation(figures, *self.inner.sheet(shown))
