"""pix2pixHD: Wang et al. 2018, "High-Resolution Image Synthesis and Semantic Manipulation with Conditional GANs"."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any, ClassVar, Literal, Self, cast

import torch
from pydantic import Field
from torch import Tensor, nn
from torch.utils.data import Dataset

from img2img.data.instances import InstanceData
from img2img.data.ranges import BatchSize, Steps
from img2img.errors import ConfigError, DownloadError
from img2img.exchange.wrappers import TranslationWrapper
from img2img.methods.adversarial import Scorer, add_discriminators
from img2img.methods.cards import card_of
from img2img.methods.config import (
    AdversarialConfig,
    MatchingConfig,
    NetworkConfig,
    ObjectiveWeights,
    PerceptualConfig,
    ScheduleConfig,
)
from img2img.methods.figures import Picture, distances, diversity, spread, to_pictures, to_rgb, to_signed
from img2img.methods.gan import GANConfig, check_crop
from img2img.methods.method import Batch, Facts, ModelExport, Networks, OptimiserSpec, Step, Validation
from img2img.methods.object_features import object_features, regions_of
from img2img.methods.paired_channels import PairedMethod
from img2img.methods.reconstruction import ReconstructionLoss
from img2img.methods.stages import settings_of_run
from img2img.networks.feature_clusters import FeatureClusters, FeatureEncoder
from img2img.networks.label_maps import LabelMapGenerator, edge_map, region_means
from img2img.networks.local_enhancer import LocalEnhancer
from img2img.networks.norms import inference_copy
from img2img.networks.unet import UNet

SHEET_ROWS = 6
"""Rows of the contact sheet."""

SAMPLES = 3
"""Samples of each picture on the contact sheet, if objects have features."""

VGG_LAYERS = {"relu1_1": 1 / 32, "relu2_1": 1 / 16, "relu3_1": 1 / 8, "relu4_1": 1 / 4, "relu5_1": 1.0}
"""Layers of VGG19 and their weights in the official code."""


class Config(GANConfig):
    """Global stage (section 3.1 and the official code): global generator, discriminators at 2 scales, LSGAN, 10 feature
    matching, 10 VGG features, Adam 2e-4, batch 1.
    """

    stages: ClassVar[dict[str, "type[Config]"]]

    method: Literal["pix2pixhd"] = Field(default="pix2pixhd", description="method")
    stage: Literal["global", "enhancer"] = Field(default="global", description="stage to train")
    data: InstanceData = Field(description="pairs of label maps and pictures, perhaps with instance maps")
    generator: NetworkConfig = Field(default=NetworkConfig(name="pix2pixhd"), description="generator")
    discriminator: NetworkConfig = Field(default=NetworkConfig(name="multi-scale"), description="discriminator")
    edges: bool = Field(
        default=True,
        description="show the networks the edges of a label map: of its instances if there are instance maps, of its "
        "classes if not. No effect on inputs that are pictures",
    )
    features: int = Field(
        default=0,
        ge=0,
        le=64,
        description="features of each object, which an encoder finds in the target (section 3.4; there 3). The model "
        "then draws samples. 0: none",
    )
    encoder: NetworkConfig = Field(default=NetworkConfig(name="feature-encoder"), description="encoder of features")
    adversarial: AdversarialConfig = Field(default=AdversarialConfig(name="lsgan"), description="adversarial objective")
    matching: MatchingConfig = MatchingConfig(weight=10.0)
    perceptual: PerceptualConfig = PerceptualConfig(weight=10.0, layers=VGG_LAYERS)
    objectives: ObjectiveWeights = Field(default={}, description="reconstruction objectives and their weights")
    norm_mode: Literal["paper", "running"] = Field(
        default="paper",
        description="batch norm in validation and export: statistics of the picture (paper) or of training (running)",
    )
    steps: Steps = Field(default=600_000, description="training steps; the official code trains for 200 epochs")
    batch: BatchSize = Field(default=1, description="pairs per step, over all processes")
    schedule: ScheduleConfig = ScheduleConfig(shape="linear", flat=0.5)

    @classmethod
    def of_stage(cls, values: dict[str, Any]) -> type[Self]:
        return cast(type[Self], cls.stages.get(str(values.get("stage", "global")), cls))

    @classmethod
    def with_defaults(cls, values: dict[str, Any]) -> dict[str, Any]:
        """As in `RunConfig`. An enhancer takes its networks and inputs from the run of the global stage."""
        if values.get("stage") == "enhancer" and values.get("start"):
            keys = ("stage", "generator", "discriminator", "encoder", "edges", "features")
            of_run = settings_of_run(Path(str(values["start"])), keys)
            if of_run.pop("stage", None) == "global":
                _enlarge(of_run)
            values = of_run | values
        return super().with_defaults(values)


def _enlarge(of_run: dict[str, Any]) -> None:
    """Turn the networks of a global stage into those of an enhancer stage, for pictures of twice the size."""
    generator, discriminator = of_run.get("generator", {}), of_run.get("discriminator", {})
    if generator.get("name") == "pix2pixhd":
        options = generator.get("options", {})
        of_run["generator"] = {
            "name": "pix2pixhd-enhancer",
            "options": {**options, "features": options.get("features", 64) // 2},
        }
    if discriminator.get("name") == "multi-scale":
        options = discriminator.get("options", {})
        of_run["discriminator"] = {**discriminator, "options": {**options, "scales": options.get("scales", 2) + 1}}


class Enhancer(Config):
    """Enhancer stage (section 3.1): a local enhancer around the generator of the global stage, discriminators at 3
    scales.
    """

    stage: Literal["global", "enhancer"] = Field(default="enhancer", description="stage to train")
    generator: NetworkConfig = Field(
        default=NetworkConfig(name="pix2pixhd-enhancer"),
        description="generator; its options follow those of the run that it starts from",
    )
    discriminator: NetworkConfig = Field(
        default=NetworkConfig(name="multi-scale", options={"scales": 3}), description="discriminator"
    )
    fixed_global: float = Field(
        default=0.1,
        ge=0,
        le=1,
        description="fraction of the steps, at the start, in which the global generator does not change",
    )
    steps: Steps = Field(default=300_000, description="training steps; the official code trains for 100 epochs")


Config.stages = {"global": Config, "enhancer": Enhancer}


class Pix2PixHD(PairedMethod):
    """pix2pixHD.

    Batches hold `input` and `target`, uint8 `[N, C, H, W]`. A label map has one channel of class numbers, or three with
    instance maps, see `PairedSet.instances`.

    Networks: `generator` takes one-hot classes, the edge map and the features of the objects. `discriminator` sees the
    classes, the edge map and the result. `encoder`, with `features` above 0, finds the features of a target.
    """

    recipe = Config
    headline = "ssim"

    def __init__(self, config: Config, facts: Facts | None = None) -> None:
        self.config = config
        if facts is None and isinstance(config, Enhancer) and config.start is None:
            raise ConfigError(
                "the enhancer is built around the generator of a run of the global stage: name it with --start RUN"
            )
        self.read_pairs(config, facts)
        if config.features and self.channels.palette is None:
            raise ConfigError(
                f"features = {config.features} needs label maps, but the inputs are pictures: set it to 0"
            )
        self.edges = config.edges and self.channels.palette is not None
        seen = self.channels.inputs + self.edges
        fixed = {"inputs": seen + config.features, "outputs": self.channels.outputs}
        generator = self._build(config.generator, fixed)
        if isinstance(config, Enhancer) and not isinstance(generator, LocalEnhancer):
            raise ConfigError(f"stage = enhancer: generator '{config.generator.name}' is none; use pix2pixhd-enhancer")
        self.networks = {"generator": generator}
        if config.features:
            encoder = self._build(
                config.encoder,
                {"inputs": self.channels.outputs, "outputs": config.features, "classes": self.channels.inputs},
            )
            if not isinstance(encoder, FeatureEncoder):
                raise ConfigError(f"encoder.name = {config.encoder.name} finds no features; use feature-encoder")
            self.networks["encoder"] = encoder
        self.averaged = tuple(self.networks)
        self.optimisers = {"generator": OptimiserSpec(tuple(self.networks), config.optimiser)}
        judge = self._build(config.discriminator, {"inputs": seen + self.channels.outputs})
        label_map = self.channels.palette is not None
        pictures = [slice(seen, None)] if label_map else self.channels.pictures(conditional=True)
        losses = add_discriminators(self, config, {"discriminator": judge}, pictures=pictures, halve=True)
        self.adversarial = losses["discriminator"]

    def _build(self, network: NetworkConfig, fixed: dict[str, Any]) -> nn.Module:
        crop = self.config.data.crop
        defaults = {"downs": UNet.depth(crop)} if network.name == "unet" else {"size": crop}
        built = self.config.build(network, fixed=fixed, defaults=defaults)
        check_crop(crop, network, built)
        return built

    def load(self) -> Dataset[Batch]:
        try:
            self.terms = ReconstructionLoss(self.config.objectives, self.config.perceptual)
        except DownloadError as error:
            raise ConfigError(
                f"cannot download the VGG19 weights from {error.path} ({error.__cause__}); get that file by other "
                "means and give it with --set perceptual.weights=FILE, or train without it: --set perceptual.weight=0"
            ) from error
        return self.data.dataset

    def step(self, networks: Networks, batches: Sequence[Batch]) -> Step:
        generator = networks["generator"]
        fixed = {"fixed_global": True} if self._is_global_fixed() else {}
        figures: dict[str, Tensor] = {}
        for batch in batches:
            labels, truth = self._labels(batch["input"]), to_signed(batch["target"])
            result = generator(self._with_features(networks, labels, batch["input"], truth), **fixed)
            scorer = self._scorer(networks, labels)
            loss, figures = self.adversarial.discriminator_loss(scorer, truth, result)
            yield "discriminator", loss
        terms, loss = self.terms(result, truth)
        adversarial, more = self.adversarial.generator_loss(scorer, result, truth)
        loss = loss + adversarial
        yield "generator", loss
        return {"loss": loss.detach()} | terms | more | figures | self.adversarial.gradient()

    def _is_global_fixed(self) -> bool:
        config = self.config
        return isinstance(config, Enhancer) and self.step_number < config.fixed_global * config.steps

    def _labels(self, source: Tensor) -> Tensor:
        """Return the picture, or the one-hot classes and the edge map: what the discriminator sees of an input."""
        given = self.channels.to_input(source)
        return torch.cat((given, edge_map(regions_of(source))), 1) if self.edges else given

    def _with_features(self, networks: Networks, labels: Tensor, source: Tensor, truth: Tensor) -> Tensor:
        """Return what the generator sees in training: `labels`, and the features of the objects in the truth."""
        if not self.config.features:
            return labels
        return torch.cat((labels, region_means(networks["encoder"](truth), regions_of(source))), 1)

    def _scorer(self, networks: Networks, labels: Tensor) -> Scorer:
        judge = networks["discriminator"]
        return lambda picture: judge(torch.cat((labels, picture), 1))

    @torch.no_grad()
    def validate(self, networks: Networks) -> Validation:
        """Measure the model that is exported, which sees a label map alone. Its code is zeros.

        With instance maps or features, figures ending in `_trained` are those of results for what the generator sees in
        training: instance edges, and features of the truth. With features, `samples_apart` is the mean L1 distance
        between two samples.
        """
        used = {name: inference_copy(networks[name], self.config.norm_mode) for name in self.averaged}
        device = next(used["generator"].parameters()).device
        if self.config.features:
            self._fit_clusters(used, networks)
        model = self._model(used)
        length = self._code_length
        random = torch.Generator().manual_seed(self.config.seed)  # the same codes in each validation
        samples = torch.randn(SAMPLES, length, generator=random)
        codes = torch.cat((torch.zeros(1, length), samples))[:, None].to(device)
        inputs: list[list[Tensor]] = [[code] for code in codes] if length else [[]]
        trains_on_more = length > 0 or (self.edges and self.data.instances)
        columns: list[list[Picture]] = [[] for _ in inputs]
        trained: list[Picture] = []
        for held in self.data.held_out:
            source, target = (
                torch.from_numpy(one).permute(2, 0, 1)[None].to(device) for one in (held.input, held.target)
            )
            given = self.channels.to_input(source)
            for column, further in zip(columns, inputs, strict=True):
                column += to_pictures(model(given, *further))
            if trains_on_more:
                seen = self._with_features(used, self._labels(source), source, to_signed(target))
                trained += to_pictures(used["generator"](seen))
        results, *drawn = columns
        truths = [to_rgb(held.target) for held in self.data.held_out]
        figures = distances(results, truths) | {"diversity": diversity(results, truths)}
        if drawn:
            figures["samples_apart"] = distances(drawn[0], drawn[1])["l1"]
        shown = {"input": [self.data.input_as_rgb(held.input) for held in self.data.held_out], "result": results}
        if trains_on_more:
            figures |= {f"{name}_trained": value for name, value in distances(trained, truths).items()}
            shown["as trained"] = trained
        rows = [list(row) for row in zip(*shown.values(), *drawn, truths, strict=True)]
        return Validation(figures, [*shown, *["sample"] * len(drawn), "truth"], spread(rows, SHEET_ROWS))

    def _fit_clusters(self, used: Networks, networks: Networks) -> None:
        """Fit the clusters to the training set, in every copy of the encoder, so that checkpoints hold them."""
        clusters = clusters_of(used["encoder"])
        clusters.fit(object_features(used["encoder"], self.data.dataset.pairs), self.config.seed)
        for network in (networks["encoder"], self.networks["encoder"]):
            clusters_of(network).load_state_dict(clusters.state_dict())

    @property
    def _code_length(self) -> int:
        """One number per class, if objects have features."""
        return self.channels.inputs if self.config.features else 0

    def _model(self, networks: Networks) -> nn.Module:
        """Return a generator that takes the input alone."""
        if self.channels.palette is None:
            return networks["generator"]
        clusters = clusters_of(networks["encoder"]) if self.config.features else None
        return LabelMapGenerator(networks["generator"], edges=self.edges, clusters=clusters)

    def models(self, networks: Networks) -> list[ModelExport]:
        model = self._model({name: inference_copy(networks[name], self.config.norm_mode) for name in self.averaged})
        latent = {"length": self._code_length, "distribution": "normal"} if self.config.features else None
        method = f"pix2pixhd, {self.config.stage} stage"
        card = card_of(self.config, model, name="pix2pixhd", task="translate", method=method, latent=latent)
        return [
            ModelExport(TranslationWrapper(model, channels=self.channels.inputs, palette=self.channels.palette), card)
        ]


def clusters_of(encoder: nn.Module) -> FeatureClusters:
    assert isinstance(encoder, FeatureEncoder), "checked by the constructor"
    return encoder.clusters
