"""pix2pix: Isola et al. 2017, "Image-to-Image Translation with Conditional Adversarial Networks"."""

from collections.abc import Sequence
from typing import Literal

import numpy as np
import torch
from pydantic import Field
from torch import Tensor
from torch.nn import functional as F
from torch.utils.data import Dataset

from img2img.data.paired import PairedSet
from img2img.data.pairs import PairedData
from img2img.data.ranges import BatchSize, Steps
from img2img.errors import ConfigError
from img2img.evaluation import colorization
from img2img.evaluation.results import mean
from img2img.exchange.wrappers import TranslationWrapper
from img2img.methods.adversarial import AdversarialLoss, Scorer, add_discriminators
from img2img.methods.cards import card_of
from img2img.methods.config import AdversarialConfig, NetworkConfig, ObjectiveWeights, ScheduleConfig
from img2img.methods.figures import distances, diversity, spread, to_pictures, to_rgb, to_signed
from img2img.methods.gan import check_crop
from img2img.methods.growing import GrowingConfig
from img2img.methods.method import Batch, Facts, Method, ModelExport, Networks, OptimiserSpec, Step, Validation
from img2img.methods.reconstruction import ReconstructionLoss
from img2img.networks.norms import inference_copy
from img2img.networks.unet import UNet

SHEET_ROWS = 6
"""Rows of the contact sheet."""


class Config(GrowingConfig):
    """Section 3.3 and appendix 6: U-Net and 70x70 PatchGAN, cGAN + 100 L1, Adam 2e-4, batch 1."""

    method: Literal["pix2pix"] = Field(default="pix2pix", description="method")
    data: PairedData = Field(description="paired pictures")
    generator: NetworkConfig = Field(
        default=NetworkConfig(name="unet"),
        description="generator; data.crop sets the depth of a U-Net",
    )
    discriminator: NetworkConfig = Field(default=NetworkConfig(name="patchgan"), description="discriminator")
    conditional: bool = Field(default=True, description="show the input to the discriminator too (equation 1)")
    adversarial: AdversarialConfig = Field(
        default=AdversarialConfig(name="non-saturating"), description="adversarial objective"
    )
    objectives: ObjectiveWeights = Field(
        default={"l1": 100.0}, description="reconstruction objectives and their weights"
    )
    norm_mode: Literal["paper", "running"] = Field(
        default="paper",
        description="batch norm in validation and export: statistics of the picture (paper) or of training (running)",
    )
    steps: Steps = Field(default=80_000, description="training steps; the paper trains for 200 epochs")
    batch: BatchSize = Field(default=1, description="pairs per step, over all processes")
    schedule: ScheduleConfig = ScheduleConfig(shape="linear", flat=0.5)


class Pix2Pix(Method):
    """pix2pix.

    Batches hold `input` and `target`, uint8 `[N, C, H, W]`. A label map has one channel of class numbers.
    """

    recipe = Config
    headline = "ssim"

    data: PairedSet

    def __init__(self, config: Config, facts: Facts | None = None) -> None:
        self.config = config
        self.notes = []
        if facts is None:
            self.data = PairedSet.read(config.data, seed=config.seed, held_out=config.validate_pictures)
            self.notes += self.data.notes
            facts = {
                "inputs": self.data.input_channels,
                "outputs": self.data.target_channels,
                "palette": None if self.data.palette is None else self.data.palette.tolist(),
            }
        self.facts = facts
        inputs, outputs = facts["inputs"], facts["outputs"]
        self.palette = None if facts["palette"] is None else np.array(facts["palette"], np.uint8)
        if self.palette is not None and config.generator.options.get("residual"):
            raise ConfigError(
                "generator.options.residual = true: a residual cannot be added to a label map; set it to false"
            )
        defaults = {}
        if config.generator.name == "unet":
            defaults = {"downs": UNet.depth(config.data.crop)}
        elif config.generator.name == "chroma-unet":
            defaults = {"side": config.data.crop}
        self.networks = {
            "generator": config.build(config.generator, fixed={"inputs": inputs, "outputs": outputs}, defaults=defaults)
        }
        check_crop(config.data.crop, config.generator, self.networks["generator"])
        self.optimisers = {"generator": OptimiserSpec(("generator",), config.optimiser)}
        self.averaged = ("generator",)
        self.terms = ReconstructionLoss(config.objectives, config.perceptual)
        self.adversarial: AdversarialLoss | None = None
        if config.has_discriminator:
            discriminator = config.build(
                config.discriminator,
                fixed={"inputs": inputs + outputs if config.conditional else outputs},
                defaults={"size": config.data.crop},
            )
            check_crop(config.data.crop, config.discriminator, discriminator)
            pictures = [slice(None)]
            if config.conditional:  # a label map is no picture
                pictures = (
                    [slice(inputs, None)] if self.palette is not None else [slice(0, inputs), slice(inputs, None)]
                )
            found = {"discriminator": discriminator}
            losses = add_discriminators(self, config, found, pictures=pictures, halve=True)
            self.adversarial = losses["discriminator"]
        elif not self.terms:  # reconstruction alone is the paper's L1 baseline
            raise ConfigError("no objective has a weight above 0: there is nothing to learn from")

    def load(self) -> Dataset[Batch]:
        return self.data.dataset

    def step(self, networks: Networks, batches: Sequence[Batch]) -> Step:
        figures: dict[str, Tensor] = {}
        for batch in batches:
            given, truth = self._to_input(batch["input"]), to_signed(batch["target"])
            result = networks["generator"](given)
            if self.adversarial:
                loss, figures = self.adversarial.discriminator_loss(self._scorer(networks, given), truth, result)
                yield "discriminator", loss
        terms, loss = self.terms(result, truth)
        if self.adversarial:
            adversarial, more = self.adversarial.generator_loss(self._scorer(networks, given), result, truth)
            loss, terms = loss + adversarial, terms | more
        yield "generator", loss
        return {"loss": loss.detach()} | terms | figures | (self.adversarial.gradient() if self.adversarial else {})

    @torch.no_grad()
    def validate(self, networks: Networks) -> Validation:
        """Measure the distances of results to truths.

        If the inputs are pictures, figures ending in `_input` are the distances of the inputs themselves. If they are
        made from the targets, there are also figures of chroma (`evaluation.colorization.figures`).
        """
        generator = inference_copy(networks["generator"], self.config.norm_mode)
        device = next(generator.parameters()).device
        results = []
        for held in self.data.held_out:
            source = torch.from_numpy(held.input).permute(2, 0, 1)[None].to(device)
            results += to_pictures(generator(self._to_input(source)))
        truths = [to_rgb(held.target) for held in self.data.held_out]
        figures = distances(results, truths) | {"diversity": diversity(results, truths)}
        if self.config.data.derived:
            colours = mean(colorization.figures(*pair) for pair in zip(results, truths, strict=True))
            figures |= {name: colours[name] for name in ("chroma_l1", "chroma_ratio")}
        sources = [self.data.input_as_rgb(held.input) for held in self.data.held_out]
        if self.palette is None:
            copied = distances(sources, truths)
            figures |= {f"{name}_input": copied[name] for name in ("l1", "psnr", "ssim", "sharpness")}
        rows = list(zip(sources, results, truths, strict=True))
        return Validation(figures, ["input", "result", "truth"], spread(rows, SHEET_ROWS))

    def models(self, networks: Networks) -> list[ModelExport]:
        generator = inference_copy(networks["generator"], self.config.norm_mode)
        network = TranslationWrapper(generator, channels=self.facts["inputs"], palette=self.palette)
        method = f"pix2pix, norm mode {self.config.norm_mode}"
        card = card_of(self.config, generator, name="pix2pix", task="translate", method=method)
        return [ModelExport(network, card)]

    def _to_input(self, source: Tensor) -> Tensor:
        """Return the generator's input: values in -1..1, or one-hot classes."""
        if self.palette is None:
            return to_signed(source)
        return F.one_hot(source[:, 0].long(), len(self.palette)).permute(0, 3, 1, 2).float()

    def _scorer(self, networks: Networks, given: Tensor) -> Scorer:
        if not self.config.conditional:
            return networks["discriminator"]
        return lambda picture: networks["discriminator"](torch.cat((given, picture), 1))
