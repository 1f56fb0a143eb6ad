"""PLDT: Yoo et al. 2016, "Pixel-Level Domain Transfer"."""

from collections.abc import Sequence
from typing import Literal

import torch
from pydantic import Field, model_validator
from torch import Tensor, nn
from torch.nn import functional as F

from img2img.data.pairs import PairedData
from img2img.data.ranges import BatchSize, Side, SideOrOff, Steps
from img2img.exchange.wrappers import TranslationWrapper
from img2img.methods.cards import card_of
from img2img.methods.config import NetworkConfig, ObjectiveWeights, PerceptualConfig
from img2img.methods.figures import distances, diversity, spread, to_pictures, to_rgb, to_signed
from img2img.methods.gan import BuildConfig, check_crop
from img2img.methods.method import Batch, Facts, ModelExport, Networks, OptimiserSpec, Step, Validation
from img2img.methods.paired_channels import PairedMethod
from img2img.methods.reconstruction import ReconstructionLoss
from img2img.networks.norms import inference_copy
from img2img.networks.unet import UNet

SHEET_ROWS = 6
"""Rows of the contact sheet."""


class Pairs(PairedData):
    """Paired pictures. Both pictures of a pair get the size of the input, then the same crop and mirroring."""

    load: SideOrOff = Field(
        default=64, description="side in pixels that pictures are resized to; 0: crop at the original size"
    )
    crop: Side = Field(default=64, description="side of the random crop, in pixels")


class Config(BuildConfig):
    """Sections 4 and 5: encoder and decoder, two DCGAN discriminators, three cross-entropies each, batch 128, 64 px.

    The paper trains with SGD. Here it is Adam 2e-4, as for the other methods after DCGAN.
    """

    method: Literal["pldt"] = Field(default="pldt", description="method")
    data: Pairs = Field(description="paired pictures, such as photos of people and of what they wear")
    generator: NetworkConfig = Field(
        default=NetworkConfig(name="discogan", options={"features": 96}), description="generator"
    )
    discriminator: NetworkConfig = Field(
        default=NetworkConfig(name="dcgan", options={"features": 96}),
        description="judges whether a target is real",
    )
    relevance: NetworkConfig = Field(
        default=NetworkConfig(name="dcgan", options={"features": 96}),
        description="judges whether a target belongs to a source",
    )
    objectives: ObjectiveWeights = Field(
        default={}, description="reconstruction objectives and their weights; the paper has none"
    )
    perceptual: PerceptualConfig = PerceptualConfig()
    norm_mode: Literal["paper", "running"] = Field(
        default="paper",
        description="batch norm in validation and export: statistics of the picture (paper) or of training (running)",
    )
    steps: Steps = Field(default=20_000, description="training steps")
    batch: BatchSize = Field(default=128, description="pairs per step, over all processes")

    @model_validator(mode="after")
    def _has_unrelated_targets(self) -> "Config":
        if self.batch_of_a_part < 2:
            raise ValueError(
                f"batch = {self.batch} in accumulate = {self.accumulate} parts: each part needs 2 pairs or more, "
                "because the unrelated target of a source is that of another pair"
            )
        return self


class PLDT(PairedMethod):
    """PLDT.

    Batches hold `input` and `target`, uint8 `[N, C, H, W]`. A label map has one channel of class numbers.

    Networks: `generator`; `discriminator`, which judges whether a target is real; `relevance`, which judges a source
    and a target together, whether they belong together.
    """

    recipe = Config
    headline = "ssim"

    def __init__(self, config: Config, facts: Facts | None = None) -> None:
        self.config = config
        self.read_pairs(config, facts)
        self.channels.check(config.generator)
        inputs, outputs = self.channels.inputs, self.channels.outputs
        self.networks = {
            "generator": self._build(config.generator, {"inputs": inputs, "outputs": outputs}),
            "discriminator": self._build(config.discriminator, {"inputs": outputs}),
            "relevance": self._build(config.relevance, {"inputs": inputs + outputs}),
        }
        self.optimisers = {
            "generator": OptimiserSpec(("generator",), config.optimiser),
            "discriminator": OptimiserSpec(("discriminator", "relevance"), config.discriminator_optimiser),
        }
        self.averaged = ("generator",)
        self.terms = ReconstructionLoss(config.objectives, config.perceptual)

    def _build(self, network: NetworkConfig, fixed: dict[str, int]) -> nn.Module:
        crop = self.config.data.crop
        defaults = {"downs": UNet.depth(crop)} if network.name == "unet" else {"size": crop}
        built = self.config.build(network, fixed=fixed, defaults=defaults)
        check_crop(crop, network, built)
        return built

    def step(self, networks: Networks, batches: Sequence[Batch]) -> Step:
        (batch,) = batches
        judge, relevance = networks["discriminator"], networks["relevance"]
        source, target = self.channels.to_input(batch["input"]), to_signed(batch["target"])
        unrelated = target.roll(1, 0)
        result = networks["generator"](source)
        fake = result.detach()
        real = [cross_entropy(judge(target), 1), cross_entropy(judge(unrelated), 1), cross_entropy(judge(fake), 0)]
        related = [
            cross_entropy(relevance(torch.cat((source, one), 1)), label)
            for one, label in ((target, 1), (unrelated, 0), (fake, 0))
        ]
        yield "discriminator", torch.stack(real).mean() + torch.stack(related).mean()  # equations 4 and 5
        terms, loss = self.terms(result, target)
        realism = cross_entropy(judge(result), 1)
        relation = cross_entropy(relevance(torch.cat((source, result), 1)), 1)
        loss = loss + (realism + relation) / 2  # equation 6
        yield "generator", loss
        figures = {
            "loss": loss,
            "discriminator": torch.stack(real).mean(),
            "relevance": torch.stack(related).mean(),
            "adversarial": realism,
            "adversarial_relevance": relation,
        }
        return {name: value.detach() for name, value in (terms | figures).items()}

    @torch.no_grad()
    def validate(self, networks: Networks) -> Validation:
        """Measure the distances of results to truths."""
        generator = inference_copy(networks["generator"], self.config.norm_mode)
        device = next(generator.parameters()).device
        results = [
            picture
            for held in self.data.held_out
            for picture in to_pictures(generator(self.channels.of_held_out(held, device)))
        ]
        truths = [to_rgb(held.target) for held in self.data.held_out]
        figures = distances(results, truths) | {"diversity": diversity(results, truths)}
        sources = [self.data.input_as_rgb(held.input) for held in self.data.held_out]
        rows = [list(row) for row in zip(sources, results, truths, strict=True)]
        return Validation(figures, ["input", "result", "truth"], spread(rows, SHEET_ROWS))

    def models(self, networks: Networks) -> list[ModelExport]:
        generator = inference_copy(networks["generator"], self.config.norm_mode)
        network = TranslationWrapper(generator, channels=self.channels.inputs, palette=self.channels.palette)
        return [ModelExport(network, card_of(self.config, generator, name="pldt", task="translate", method="pldt"))]


def cross_entropy(scores: Tensor | list[Tensor], label: int) -> Tensor:
    """Return the cross-entropy of `scores`, logits, for pictures that are all of one kind: 1 or 0.

    A mean over each map, and over the scales of a discriminator that has several.
    """
    maps = [scores] if isinstance(scores, Tensor) else scores
    return torch.stack([F.softplus(-one.float() if label else one.float()).mean() for one in maps]).mean()
