"""pix2pix: Isola et al. 2017, "Image-to-Image Translation with Conditional Adversarial Networks"."""

from collections.abc import Sequence
from typing import Any, Literal

import torch
from pydantic import Field
from torch import Tensor

from img2img.data.pairs import PairedData
from img2img.data.ranges import BatchSize, Steps
from img2img.errors import ConfigError
from img2img.evaluation import colorization
from img2img.evaluation.results import mean
from img2img.exchange.wrappers import TranslationWrapper
from img2img.methods.adversarial import AdversarialLoss, Scorer, add_discriminators
from img2img.methods.cards import card_of
from img2img.methods.config import AdversarialConfig, NetworkConfig, ObjectiveWeights, ScheduleConfig
from img2img.methods.figures import Picture, distances, diversity, spread, to_pictures, to_rgb, to_signed
from img2img.methods.gan import check_crop
from img2img.methods.growing import GrowingConfig
from img2img.methods.labels import LogitRecorder
from img2img.methods.latent import LatentConfig, LatentLoss
from img2img.methods.method import Batch, Facts, ModelExport, Networks, OptimiserSpec, Step, Validation
from img2img.methods.paired_channels import PairedMethod
from img2img.methods.reconstruction import ReconstructionLoss
from img2img.networks.norms import inference_copy
from img2img.networks.planes import LatentInput
from img2img.networks.unet import UNet

SHEET_ROWS = 6
"""Rows of the contact sheet."""

SAMPLES = 3
"""Samples of each picture on the contact sheet, if the generator takes a latent code."""


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
    latent: LatentConfig = LatentConfig()
    norm_mode: Literal["paper", "running"] = Field(
        default="paper",
        description="batch norm in validation and export: statistics of the picture (paper) or of training (running)",
    )
    steps: Steps = Field(default=80_000, description="training steps; the paper trains for 200 epochs")
    batch: BatchSize = Field(default=1, description="pairs per step, over all processes")
    schedule: ScheduleConfig = ScheduleConfig(shape="linear", flat=0.5)


class Pix2Pix(PairedMethod):
    """pix2pix.

    Batches hold `input` and `target`, uint8 `[N, C, H, W]`. A label map has one channel of class numbers.
    """

    recipe = Config
    headline = "ssim"

    def __init__(self, config: Config, facts: Facts | None = None) -> None:
        self.config = config
        self.read_pairs(config, facts)
        self.channels.check(config.generator)
        inputs, outputs = self.channels.inputs, self.channels.outputs
        defaults = {}
        if config.generator.name == "unet":
            defaults = {"downs": UNet.depth(config.data.crop)}
        elif config.generator.name == "chroma-unet":
            defaults = {"side": config.data.crop}
        self.latent = LatentLoss(config.latent, config.generator, config.discriminator)
        fixed = {"inputs": inputs + config.latent.length, "outputs": outputs}
        generator = config.build(config.generator, fixed=fixed, defaults=defaults)
        check_crop(config.data.crop, config.generator, generator)
        self.networks = {
            "generator": LatentInput(generator, config.latent.length) if config.latent.length else generator
        }
        self.optimisers = {"generator": OptimiserSpec(("generator",), config.optimiser)}
        self.averaged = ("generator",)
        self.terms = ReconstructionLoss(config.objectives, config.perceptual)
        self.adversarial: AdversarialLoss | None = None
        if config.has_discriminator:
            discriminator = config.build(
                config.discriminator,
                fixed={"inputs": inputs + outputs if config.conditional else outputs, **self.latent.estimates},
                defaults={"size": config.data.crop},
            )
            check_crop(config.data.crop, config.discriminator, discriminator)
            pictures = self.channels.pictures(conditional=config.conditional)
            found = {"discriminator": discriminator}
            losses = add_discriminators(self, config, found, pictures=pictures, halve=True)
            self.adversarial = losses["discriminator"]
        elif config.latent.information:
            raise ConfigError("latent.information needs a discriminator: set adversarial.weight above 0")
        elif not self.terms:  # reconstruction alone is the paper's L1 baseline
            raise ConfigError("no objective has a weight above 0: there is nothing to learn from")

    def step(self, networks: Networks, batches: Sequence[Batch]) -> Step:
        figures: dict[str, Tensor] = {}
        generator, weights = networks["generator"], self.config.latent
        for batch in batches:
            given, truth = self.channels.to_input(batch["input"]), to_signed(batch["target"])
            code = [self.latent.draw(given)] if weights.length else []
            result = generator(given, *code)
            if self.adversarial:
                scorer = self._scorer(networks, given)
                loss, figures = self.adversarial.discriminator_loss(scorer, truth, result)
                if weights.information:
                    loss = loss + self.latent.information(_estimate(scorer, 1), *code)
                yield "discriminator", loss
        terms, loss = self.terms(result, truth)
        if self.adversarial:
            scorer = self._scorer(networks, given)
            adversarial, more = self.adversarial.generator_loss(scorer, result, truth)
            loss, terms = loss + adversarial, terms | more
        if weights.information:
            terms["information"] = self.latent.information(_estimate(scorer, -1), *code)
            loss = loss + terms["information"]
        if weights.mode_seeking:
            terms["mode_seeking"] = self.latent.mode_seeking(generator, given, result, *code)
            loss = loss + terms["mode_seeking"]
        yield "generator", loss
        terms = {name: term.detach() for name, term in terms.items()}
        return {"loss": loss.detach()} | terms | figures | (self.adversarial.gradient() if self.adversarial else {})

    @torch.no_grad()
    def validate(self, networks: Networks) -> Validation:
        """Measure the distances of results to truths.

        If the inputs are pictures, figures ending in `_input` are the distances of the inputs themselves. If they are
        made from the targets, there are also figures of chroma (`evaluation.colorization.figures`). With a latent code,
        results are for a code of zeros, and `samples_apart` is the mean L1 distance between two samples.
        """
        generator = inference_copy(networks["generator"], self.config.norm_mode)
        device = next(generator.parameters()).device
        length = self.config.latent.length
        codes = [torch.zeros(1, length)] if length else []
        if length:  # the same codes in each validation
            random = torch.Generator().manual_seed(self.config.seed)
            codes += [torch.randn(1, length, generator=random) for _ in range(SAMPLES)]
        inputs: list[list[Tensor]] = [[code.to(device)] for code in codes] or [[]]
        columns: list[list[Picture]] = [[] for _ in inputs]
        for held in self.data.held_out:
            source = self.channels.of_held_out(held, device)
            for column, further in zip(columns, inputs, strict=True):
                column += to_pictures(generator(source, *further))
        results, *samples = columns
        truths = [to_rgb(held.target) for held in self.data.held_out]
        figures = distances(results, truths) | {"diversity": diversity(results, truths)}
        if samples:
            figures["samples_apart"] = distances(samples[0], samples[1])["l1"]
        if self.config.data.derived:
            colours = mean(colorization.figures(*pair) for pair in zip(results, truths, strict=True))
            figures |= {name: colours[name] for name in ("chroma_l1", "chroma_ratio")}
        sources = [self.data.input_as_rgb(held.input) for held in self.data.held_out]
        if self.channels.palette is None:
            copied = distances(sources, truths)
            figures |= {f"{name}_input": copied[name] for name in ("l1", "psnr", "ssim", "sharpness")}
        rows = [list(row) for row in zip(sources, *(samples or [results]), truths, strict=True)]
        names = ["sample"] * len(samples) or ["result"]
        return Validation(figures, ["input", *names, "truth"], spread(rows, SHEET_ROWS))

    def models(self, networks: Networks) -> list[ModelExport]:
        generator = inference_copy(networks["generator"], self.config.norm_mode)
        network = TranslationWrapper(generator, channels=self.channels.inputs, palette=self.channels.palette)
        method = f"pix2pix, norm mode {self.config.norm_mode}"
        length = self.config.latent.length
        latent = {"length": length, "distribution": "normal"} if length else None
        card = card_of(self.config, generator, name="pix2pix", task="translate", method=method, latent=latent)
        return [ModelExport(network, card)]

    def _scorer(self, networks: Networks, given: Tensor) -> Scorer:
        judge = networks["discriminator"]

        def score(picture: Tensor) -> Any:
            return judge(torch.cat((given, picture), 1) if self.config.conditional else picture)

        return LogitRecorder(score) if self.config.latent.information else score


def _estimate(scorer: Scorer, call: int) -> Tensor:
    """Return the estimate of the code in one of the calls of a discriminator that estimates it."""
    assert isinstance(scorer, LogitRecorder)
    return scorer.logits[call]
