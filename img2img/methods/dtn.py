"""DTN, the domain transfer network: Taigman et al. 2017, "Unsupervised Cross-Domain Image Generation".

Training has two stages. The first one trains a classifier of labelled pictures. Its features, f, should keep what both
domains have in common. The second one trains G, which makes pictures of the target domain from these features. f does
not change any more.
"""

from collections.abc import Sequence
from pathlib import Path
from typing import Any, ClassVar, Literal, Self, cast

import numpy as np
import torch
from pydantic import Field, model_validator
from torch import Tensor, nn
from torch.nn import functional as F
from torch.utils.data import Dataset

from img2img import networks as built_networks
from img2img import objectives
from img2img.data.domains import DomainData
from img2img.data.labelled import DomainSet
from img2img.data.ranges import BatchSize, Steps
from img2img.data.unpaired import UnpairedData, UnpairedSet
from img2img.errors import ConfigError, DataError
from img2img.evaluation.results import spread
from img2img.exchange.wrappers import TranslationWrapper
from img2img.methods import unpaired
from img2img.methods.cards import card_of
from img2img.methods.config import NetworkConfig, OptimiserConfig, RunConfig, ScheduleConfig
from img2img.methods.figures import to_signed
from img2img.methods.gan import ADAM
from img2img.methods.method import Batch, Facts, Method, ModelExport, Networks, OptimiserSpec, Step, Validation
from img2img.methods.stages import settings_of_run
from img2img.networks.dtn import FeatureNetwork, TransferNetwork
from img2img.networks.norms import inference_copy

SHEET_ROWS = 8
"""Rows of the contact sheet."""

OF_SOURCE, OF_TARGET, REAL = 0, 1, 2
"""What the discriminator tells apart: G of a source picture, G of a target picture, a target picture (equation 3)."""

FIRST = "img2img train dtn --stage features --data LABELLED --out RUN"


class StageConfig(RunConfig):
    """Settings of both stages."""

    stages: ClassVar[dict[str, "type[StageConfig]"]]

    method: Literal["dtn"] = Field(default="dtn", description="method")
    stage: Literal["features", "transfer"] = Field(default="transfer", description="stage to train")
    features: NetworkConfig = Field(
        default=NetworkConfig(name="dtn-features"),
        description="feature network f; the transfer stage takes that of the run it starts from",
    )
    optimiser: OptimiserConfig = ADAM
    schedule: ScheduleConfig = ScheduleConfig(shape="constant")
    initialise: Literal["normal", "xavier", "kaiming", "orthogonal", "none"] = Field(
        default="kaiming", description="weight initialisation; none: PyTorch's default"
    )
    gain: float = Field(
        default=0.02, gt=0, description="standard deviation of the normal initialisation, gain of the others"
    )

    @classmethod
    def of_stage(cls, values: dict[str, Any]) -> type[Self]:
        return cast(type[Self], cls.stages.get(str(values.get("stage", "transfer")), TransferConfig))

    @classmethod
    def with_defaults(cls, values: dict[str, Any]) -> dict[str, Any]:
        """As in `RunConfig`. The transfer stage takes feature network and crop of the run that it starts from."""
        if cls.of_stage(values) is TransferConfig and values.get("start"):
            of_run = settings_of_run(Path(str(values["start"])), ("features", "data"))
            size = {key: value for key, value in of_run.pop("data", {}).items() if key == "crop"}
            data = values.get("data", {})
            values = of_run | values | ({"data": size | data} if isinstance(data, dict) else {})
        return super().with_defaults(values)

    def build(self, network: NetworkConfig, **fixed: Any) -> nn.Module:
        """Build and initialise `network`. Arguments that its constructor does not have are dropped."""
        known = {name: value for name, value in fixed.items() if built_networks.has_option(network.name, name)}
        return built_networks.build_from_spec(network, scheme=self.initialise, gain=self.gain, **known)

    def build_features(self, crop: int) -> FeatureNetwork:
        """Build f for pictures of `crop` pixels.

        Raises:
            ConfigError: `features` is not a feature network, or not for crops of this size.
        """
        network = self.build(self.features, inputs=3, size=crop)
        if not isinstance(network, FeatureNetwork):
            raise ConfigError(f"features.name = {self.features.name} is not a feature network; use dtn-features")
        return network


class FeatureConfig(StageConfig):
    """The classifier whose features the transfer uses: cross-entropy, Adam 2e-4."""

    stage: Literal["features", "transfer"] = Field(default="features", description="stage to train")
    data: DomainData = Field(description="pictures of several classes, one folder each")
    steps: Steps = Field(default=10_000, description="training steps")
    batch: BatchSize = Field(default=32, description="pictures per step, over all processes")

    @model_validator(mode="after")
    def _has_statistics(self) -> Self:
        if self.batch_of_a_part < 2:
            raise ValueError(
                f"batch = {self.batch} in accumulate = {self.accumulate} parts: batch norm of a vector needs 2 "
                "pictures or more in each part"
            )
        return self


class TransferConfig(StageConfig):
    """Sections 4 and 5.1: ternary discriminator, 15 f-constancy, 15 identity of the target domain, Adam 3e-4.

    For faces, the paper has 100 f-constancy, 1 identity and 0.05 total variation.
    """

    data: UnpairedData = Field(description="two folders of pictures; A is the source, B the target")
    generator: NetworkConfig = Field(default=NetworkConfig(name="dtn-decoder"), description="decoder g")
    discriminator: NetworkConfig = Field(
        default=NetworkConfig(name="dcgan"), description="discriminator with three outputs"
    )
    adversarial: float = Field(default=1.0, gt=0, description="weight of the adversarial loss (equation 4)")
    constancy: float = Field(
        default=15.0, ge=0, description="weight of the distance between f of a source picture and of its result (alpha)"
    )
    identity: float = Field(
        default=15.0, ge=0, description="weight of the distance between a target picture and its own result (beta)"
    )
    smoothness: float = Field(default=0.0, ge=0, description="weight of the total variation of results (gamma)")
    optimiser: OptimiserConfig = OptimiserConfig(rate=3e-4, betas=(0.5, 0.999))
    discriminator_optimiser: OptimiserConfig = OptimiserConfig(rate=3e-4, betas=(0.5, 0.999))
    steps: Steps = Field(default=20_000, description="training steps (generator updates)")
    batch: BatchSize = Field(default=32, description="pictures per side and step, over all processes")


StageConfig.stages = {"features": FeatureConfig, "transfer": TransferConfig}


class DTN(Method):
    """DTN. A configuration makes an instance of the class of its stage."""

    recipe = StageConfig
    official_layout = False

    def __new__(cls, config: StageConfig, facts: Facts | None = None) -> "DTN":
        return object.__new__(FeatureStage if isinstance(config, FeatureConfig) else TransferStage)


class FeatureStage(DTN):
    """Trains the classifier.

    Batches hold `image` uint8 `[N, 3, H, W]` and `label` float32 `[N, K]`. Networks: `features`, f, and `classifier`, a
    linear layer on its result.
    """

    headline = "accuracy"

    config: FeatureConfig
    data: DomainSet

    def __init__(self, config: FeatureConfig, facts: Facts | None = None) -> None:
        self.config = config
        self.notes = []
        if facts is None:
            self.data = DomainSet.read(config.data, seed=config.seed)
            self.notes += self.data.notes
            if not self.data.exclusive or len(self.data.blocks) > 1:
                raise DataError(f"{config.data.folders[0]}: the features stage of dtn needs one folder per class")
            facts = {"classes": list(self.data.domains)}
        self.facts = facts
        features = config.build_features(config.data.crop)
        self.networks = {
            "features": features,
            "classifier": nn.Sequential(nn.Flatten(), nn.Linear(features.code, len(facts["classes"]))),
        }
        names = tuple(self.networks)
        self.optimisers = {"generator": OptimiserSpec(names, config.optimiser)}
        self.averaged = names

    def load(self) -> Dataset[Batch]:
        return self.data.dataset

    def step(self, networks: Networks, batches: Sequence[Batch]) -> Step:
        (batch,) = batches
        logits = networks["classifier"](networks["features"](to_signed(batch["image"])))
        target = batch["label"].argmax(1)
        loss = F.cross_entropy(logits.float(), target)
        yield "generator", loss
        return {"loss": loss.detach(), "accuracy": logits.argmax(1).eq(target).float().mean()}

    @torch.no_grad()
    def validate(self, networks: Networks) -> Validation:
        """Return the `accuracy` on the held-out pictures. The sheet shows a picture of each class, if possible a wrong
        one.
        """
        held = spread(self.data.held_out, self.config.validate_pictures)
        device = next(networks["features"].parameters()).device
        right = []
        for one in held:
            picture = to_signed(torch.from_numpy(one.picture).permute(2, 0, 1)[None].to(device))
            guess = int(networks["classifier"](networks["features"](picture)).argmax(1))
            right.append(guess == int(one.label.argmax()))
        shown = sorted(zip(right, held, strict=True), key=lambda pair: pair[0])[:SHEET_ROWS]
        rows = [[one.picture] for _, one in shown]
        return Validation({"accuracy": float(np.mean(right))}, ["wrong ones first"], rows)

    def models(self, networks: Networks) -> list[ModelExport]:
        """A classifier makes no pictures, so there is no model."""
        return []


class TransferStage(DTN):
    """Trains G.

    Batches hold `a` and `b`, uint8 `[N, 3, H, W]`. Networks: `features`, which stays as it is, `generator`, the decoder
    g, and `discriminator`, with the logits of `OF_SOURCE`, `OF_TARGET` and `REAL`.
    """

    headline = "closeness"

    config: TransferConfig
    data: UnpairedSet

    def __init__(self, config: TransferConfig, facts: Facts | None = None) -> None:
        self.config = config
        self.notes = []
        if config.start is None:
            raise ConfigError(f"the transfer stage needs trained features: first {FIRST}, then add --start RUN")
        self.needs_from_start = ("features",)
        crop = config.data.crop
        features = config.build_features(crop)
        if not built_networks.has_option(config.discriminator.name, "outputs"):
            raise ConfigError(
                f"discriminator.name = {config.discriminator.name} has one score, and dtn needs three; use dcgan"
            )
        self.networks = {
            "features": features.requires_grad_(False),
            "generator": config.build(config.generator, outputs=3, size=crop, code=features.code),
            "discriminator": config.build(config.discriminator, inputs=3, size=crop, outputs=3),
        }
        self.optimisers = {
            "generator": OptimiserSpec(("generator",), config.optimiser),
            "discriminator": OptimiserSpec(("discriminator",), config.discriminator_optimiser),
        }
        self.averaged = ("features", "generator")  # f does not change, but export reads the averaged networks only
        self.smoothness = objectives.build("tv")

    def load(self) -> Dataset[Batch]:
        self.data = UnpairedSet.read(self.config.data, seed=self.config.seed, held_out=self.config.validate_pictures)
        self.notes += self.data.notes
        return self.data.dataset

    def step(self, networks: Networks, batches: Sequence[Batch]) -> Step:
        config, decoder, judge = self.config, networks["generator"], networks["discriminator"]
        features = networks["features"].eval()
        (batch,) = batches
        source, target = to_signed(batch["a"]), to_signed(batch["b"])
        code = features(source)
        of_source, of_target = decoder(code), decoder(features(target))
        scores = [judge(of_source.detach()), judge(of_target.detach()), judge(target)]
        loss = torch.stack([_tell(one, kind) for kind, one in enumerate(scores)]).sum()  # equation 3
        yield "discriminator", loss
        figures = {"discriminator": loss.detach(), "accuracy": _right(scores)}
        adversarial = _tell(judge(of_source), REAL) + _tell(judge(of_target), REAL)  # equation 4
        terms = {
            "constancy": F.mse_loss(features(of_source).float(), code.float()),  # equation 5
            "identity": F.mse_loss(of_target.float(), target),  # equation 6
        }
        total = config.adversarial * adversarial
        total = total + config.constancy * terms["constancy"] + config.identity * terms["identity"]
        if config.smoothness:  # equation 7
            terms["smoothness"] = self.smoothness(of_source) + self.smoothness(of_target)
            total = total + config.smoothness * terms["smoothness"]
        yield "generator", total
        terms = {name: term.detach() for name, term in terms.items()}
        return {"loss": total.detach(), "adversarial": adversarial.detach()} | terms | figures

    @torch.no_grad()
    def validate(self, networks: Networks) -> Validation:
        """Measure the results. `closeness` is minus their sliced Wasserstein distance to real pictures of the target.

        See `unpaired.measure`.
        """
        a, b = ([one.picture for one in side] for side in (self.data.held_out_a, self.data.held_out_b))
        results = unpaired.translate(_transfer(networks), a)
        figures = unpaired.measure(results, a, b, self.data.truth)
        figures["closeness"] = -figures["swd"]
        rows = [list(row) for row in zip(a, results, strict=True)]
        return Validation(figures, ["input", "result"], spread(rows, SHEET_ROWS))

    def models(self, networks: Networks) -> list[ModelExport]:
        network = _transfer(networks)
        card = card_of(self.config, network, name="dtn", task="translate", method="dtn")
        return [ModelExport(TranslationWrapper(network), card)]


def _transfer(networks: Networks) -> nn.Module:
    """Return G for inference. Batch norm uses its running statistics, because a vector has none of its own."""
    features = cast(FeatureNetwork, networks["features"])
    return inference_copy(TransferNetwork(features, networks["generator"]), "running")


def _tell(scores: Tensor, kind: int) -> Tensor:
    """Return the cross-entropy for pictures that are all of one kind."""
    return F.cross_entropy(scores.float(), scores.new_full((len(scores),), kind, dtype=torch.long))


def _right(scores: Sequence[Tensor]) -> Tensor:
    """Return the share of pictures whose kind the discriminator tells."""
    return torch.stack([one.argmax(1).eq(kind).float().mean() for kind, one in enumerate(scores)]).mean()
