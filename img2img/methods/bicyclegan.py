"""BicycleGAN: Zhu et al. 2017, "Toward Multimodal Image-to-Image Translation"."""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from itertools import pairwise
from typing import Any, Literal

import torch
from pydantic import Field, NonNegativeFloat
from torch import Tensor, nn
from torch.nn import functional as F

from img2img import networks as built_networks
from img2img.data.pairs import PairedData
from img2img.data.ranges import BatchSize, Count, Steps
from img2img.errors import ConfigError
from img2img.exchange.wrappers import StyledGenerator, TranslationWrapper
from img2img.methods.adversarial import add_discriminators
from img2img.methods.cards import card_of
from img2img.methods.config import (
    AdversarialConfig,
    MatchingConfig,
    NetworkConfig,
    ObjectiveWeights,
    ScheduleConfig,
)
from img2img.methods.figures import Picture, distances, diversity, l1, spread, to_pictures, to_rgb, to_signed
from img2img.methods.gan import GANConfig, check_crop
from img2img.methods.method import Batch, Facts, ModelExport, Networks, OptimiserSpec, Step, Validation
from img2img.methods.paired_channels import PairedMethod
from img2img.methods.reconstruction import ReconstructionLoss
from img2img.networks.norms import inference_copy
from img2img.networks.planes import LatentInput
from img2img.networks.unet import UNet
from img2img.objectives.normal_codes import divergence, draw
from img2img.section import Section

SHEET_ROWS = 6
"""Rows of the contact sheet."""

SHEET_SAMPLES = 4
"""Samples of each picture on the contact sheet."""


class CodeConfig(Section):
    """The code of a result."""

    length: int = Field(default=8, ge=1, le=1024, description="numbers of the code")
    kl: NonNegativeFloat = Field(
        default=0.01, description="weight of the divergence of encoded codes from N(0, 1), from which samples are drawn"
    )
    regression: NonNegativeFloat = Field(
        default=0.5, description="weight of the distance between a code and the one encoded from its result"
    )


class Config(GANConfig):
    """Section 4, appendix and the official code: U-Net with the code at every level, two PatchGANs at two scales each,
    LSGAN + 10 L1 + 0.01 KL + 0.5 latent regression, Adam 2e-4, batch 2.

    The official code does not halve the discriminator's loss as Mao et al. 2017 do. Adam makes no difference of it.
    """

    matching_kinds = ("mean",)

    method: Literal["bicyclegan"] = Field(default="bicyclegan", description="method")
    data: PairedData = Field(description="paired pictures")
    generator: NetworkConfig = Field(
        default=NetworkConfig(name="latent-unet"),
        description="generator; latent-unet gets the code at every level (where_add = all in the official code), the "
        "others beside the picture (where_add = input)",
    )
    encoder: NetworkConfig = Field(
        default=NetworkConfig(name="residual-encoder"), description="encoder, from a target picture to its code"
    )
    discriminator: NetworkConfig = Field(
        default=NetworkConfig(name="multi-patchgan"),
        description="two networks of this kind: one for results of encoded codes, one for results of random codes",
    )
    conditional: bool = Field(default=False, description="show the input to the discriminators too")
    adversarial: AdversarialConfig = Field(default=AdversarialConfig(name="lsgan"), description="adversarial objective")
    matching: MatchingConfig = MatchingConfig(kind="mean")
    objectives: ObjectiveWeights = Field(
        default={"l1": 10.0}, description="reconstruction objectives and their weights"
    )
    latent: CodeConfig = CodeConfig()
    norm_mode: Literal["paper", "running"] = Field(
        default="paper",
        description="batch norm in validation and export: statistics of the picture (paper) or of training (running)",
    )
    initialise: Literal["normal", "xavier", "kaiming", "orthogonal", "none"] = Field(
        default="xavier", description="weight initialisation; none: PyTorch's default"
    )
    steps: Steps = Field(default=80_000, description="training steps; the official code trains for 200 epochs")
    batch: BatchSize = Field(
        default=2, description="pairs per step, over all processes; a step uses both halves in different ways"
    )
    schedule: ScheduleConfig = ScheduleConfig(shape="linear", flat=0.5)
    validate_samples: Count = Field(default=10, description="samples of each held-out picture in a validation")


class BicycleGAN(PairedMethod):
    """BicycleGAN: samples of a picture, and pictures in the style of a reference.

    Batches hold `input` and `target`, uint8 `[N, C, H, W]`. A label map has one channel of class numbers.

    Networks: `generator` takes an input and a code. `encoder` returns the mean and the logarithm of the variance of a
    target's code. `discriminator_encoded` judges results of encoded codes (cVAE-GAN, section 3.2),
    `discriminator_random` those of random codes (cLR-GAN, section 3.3).
    """

    recipe = Config
    headline = "closeness"

    def __init__(self, config: Config, facts: Facts | None = None) -> None:
        self.config = config
        self.read_pairs(config, facts)
        self.channels.check(config.generator)
        if config.batch_of_a_part % 2:
            raise ConfigError(
                f"batch = {config.batch} in accumulate = {config.accumulate} parts: each part needs an even number of "
                "pairs, because its two halves are used in different ways"
            )
        self.networks = {"generator": self._generator(config), "encoder": self._encoder(config)}
        self.optimisers = {"generator": OptimiserSpec(("generator", "encoder"), config.optimiser)}
        self.averaged = ("generator", "encoder")
        self._try_networks(config)
        self.terms = ReconstructionLoss(config.objectives, config.perceptual)
        inputs = self.channels.outputs + (self.channels.inputs if config.conditional else 0)
        judges = {}
        for name in ("discriminator_encoded", "discriminator_random"):
            judges[name] = config.build(
                config.discriminator, fixed={"inputs": inputs}, defaults={"size": config.data.crop}
            )
            check_crop(config.data.crop, config.discriminator, judges[name])
        pictures = self.channels.pictures(conditional=config.conditional)
        self.adversarial = add_discriminators(self, config, judges, pictures=pictures)

    def _generator(self, config: Config) -> nn.Module:
        name, length = config.generator.name, config.latent.length
        channels = {"inputs": self.channels.inputs, "outputs": self.channels.outputs}
        defaults = {"downs": UNet.depth(config.data.crop)} if name in ("unet", "latent-unet") else {}
        at_every_level = built_networks.has_option(name, "latent")
        if not at_every_level:
            if not built_networks.has_option(name, "inputs"):
                raise ConfigError(f"generator '{name}' takes a picture only; use latent-unet, unet or resnet")
            channels["inputs"] += length
        generator = config.build(config.generator, fixed={**channels, "latent": length}, defaults=defaults)
        check_crop(config.data.crop, config.generator, generator)
        return generator if at_every_level else LatentInput(generator, length)

    def _encoder(self, config: Config) -> nn.Module:
        if not built_networks.has_option(config.encoder.name, "latent") or _draws(config.encoder.name):
            raise ConfigError(f"encoder.name = {config.encoder.name} is no encoder; use residual-encoder")
        fixed = {"inputs": self.channels.outputs, "latent": config.latent.length}
        encoder = config.build(config.encoder, fixed=fixed)
        check_crop(config.data.crop, config.encoder, encoder)
        return encoder

    @torch.no_grad()
    def _try_networks(self, config: Config) -> None:
        """Run both networks once, so that a combination that cannot work fails before the first step."""
        generator, encoder, crop = self.networks["generator"].eval(), self.networks["encoder"].eval(), config.data.crop
        try:
            code, _ = encoder(torch.zeros(1, self.channels.outputs, crop, crop))
            result = generator(torch.zeros(1, self.channels.inputs, crop, crop), code)
        except (TypeError, ValueError, RuntimeError) as error:
            raise ConfigError(
                f"generator '{config.generator.name}' cannot take the codes of encoder '{config.encoder.name}': {error}"
            ) from error
        if result.shape != (1, self.channels.outputs, crop, crop):
            raise ConfigError(f"generator '{config.generator.name}' changes the size of a picture; use latent-unet")
        generator.train()
        encoder.train()

    def step(self, networks: Networks, batches: Sequence[Batch]) -> Step:
        generator, encoder, weights = networks["generator"], networks["encoder"], self.config.latent
        figures: dict[str, Tensor] = {}
        for batch in batches:
            given, truth = self.channels.to_input(batch["input"]), to_signed(batch["target"])
            (given, other_given), (truth, other_truth) = given.chunk(2), truth.chunk(2)
            mean, log_variance = (part.float() for part in encoder(truth))
            code = torch.randn(mean.shape, device=mean.device)
            result = {"encoded": generator(given, draw(mean, log_variance)), "random": generator(given, code)}
            fake = {kind: self._shown(given, picture) for kind, picture in result.items()}
            # Random results have no truth: they are compared with targets of other inputs.
            real = {"encoded": self._shown(given, truth), "random": self._shown(other_given, other_truth)}
            loss, figures = self._discriminator_loss(networks, real, fake)
            yield "discriminator", loss
        terms, loss = self.terms(result["encoded"], truth)
        for kind in fake:
            name = f"discriminator_{kind}"
            adversarial, more = self.adversarial[name].generator_loss(networks[name], fake[kind], real[kind])
            loss = loss + adversarial
            terms |= {f"{figure}_{kind}": value for figure, value in more.items()}
        terms["kl"] = divergence(mean, log_variance)
        with frozen(encoder):  # it would hide the code in the result
            recovered, _ = encoder(result["random"])
        terms["regression"] = F.l1_loss(recovered.float(), code)
        loss = loss + weights.kl * terms["kl"] + weights.regression * terms["regression"]
        yield "generator", loss
        terms = {name: term.detach() for name, term in terms.items()}
        return {"loss": loss.detach()} | terms | figures | self.adversarial["discriminator_random"].gradient()

    def _discriminator_loss(
        self, networks: Networks, real: dict[str, Tensor], fake: dict[str, Tensor]
    ) -> tuple[Tensor, dict[str, Tensor]]:
        """Return the sum of the losses of both discriminators, and their figures. Accuracies are means of both."""
        losses: list[Tensor] = []
        figures: dict[str, Tensor] = {}
        accuracies: dict[str, list[Tensor]] = {"accuracy_real": [], "accuracy_fake": []}
        for kind in fake:
            name = f"discriminator_{kind}"
            loss, more = self.adversarial[name].discriminator_loss(networks[name], real[kind], fake[kind])
            losses.append(loss)
            for figure, values in accuracies.items():
                values.append(more.pop(figure))
            figures |= {f"{figure}_{kind}": value for figure, value in more.items()}
        means = {figure: torch.stack(values).mean() for figure, values in accuracies.items()}
        return torch.stack(losses).sum(), figures | means

    def _shown(self, given: Tensor, picture: Tensor) -> Tensor:
        """Return what a discriminator sees of a result or a truth."""
        return torch.cat((given, picture), 1) if self.config.conditional else picture

    @torch.no_grad()
    def validate(self, networks: Networks) -> Validation:
        """Measure results of a code of zeros, of random codes, and of the code of the truth.

        `l1`, `psnr`, `ssim` and `sharpness` compare results of a code of zeros with the truth. `l1_best` is the mean L1
        of the sample closest to the truth, and `closeness` is minus that. `samples_apart` is the mean L1 distance
        between samples k and k + 1 of a picture. `l1_encoded` is the L1 of results of the code of the truth.
        """
        config = self.config
        generator = inference_copy(networks["generator"], config.norm_mode)
        encoder = inference_copy(networks["encoder"], config.norm_mode)
        device = next(generator.parameters()).device
        random = torch.Generator().manual_seed(config.seed)  # the same codes in each validation
        samples = torch.randn(config.validate_samples, config.latent.length, generator=random)
        codes = torch.cat((torch.zeros(1, config.latent.length), samples)).to(device)
        results: list[Picture] = []
        encoded: list[Picture] = []
        drawn: list[list[Picture]] = []
        for held in self.data.held_out:
            given = self.channels.of_held_out(held, device)
            first, *others = [to_pictures(generator(given, code[None]))[0] for code in codes]
            results.append(first)
            drawn.append(others)
            truth = to_signed(torch.from_numpy(held.target).permute(2, 0, 1)[None].to(device))
            encoded += to_pictures(generator(given, encoder(truth)[0]))
        truths = [to_rgb(held.target) for held in self.data.held_out]
        best = [min(l1(sample, truth) for sample in row) for row, truth in zip(drawn, truths, strict=True)]
        apart = [l1(*pair) for row in drawn for pair in pairwise(row)]
        figures = distances(results, truths) | {"diversity": diversity(results, truths)}
        figures["l1_encoded"] = distances(encoded, truths)["l1"]
        figures["l1_best"] = sum(best) / len(best)
        figures["closeness"] = -figures["l1_best"]
        if apart:
            figures["samples_apart"] = sum(apart) / len(apart)
        sources = [self.data.input_as_rgb(held.input) for held in self.data.held_out]
        shown = [row[:SHEET_SAMPLES] for row in drawn]
        rows = [
            [source, *row, one, truth] for source, row, one, truth in zip(sources, shown, encoded, truths, strict=True)
        ]
        columns = ["input", *["sample"] * len(shown[0]), "encoded", "truth"]
        return Validation(figures, columns, spread(rows, SHEET_ROWS))

    def models(self, networks: Networks) -> list[ModelExport]:
        """Return `model.onnx`, which draws samples, and `model.reference.onnx`, which takes the style of a picture.

        These are two files because a model with a reference always needs one.
        """
        generator = inference_copy(networks["generator"], self.config.norm_mode)
        encoder = inference_copy(networks["encoder"], self.config.norm_mode)
        known: dict[str, Any] = {"channels": self.channels.inputs, "palette": self.channels.palette}
        about = {"task": "translate", "name": "bicyclegan"}
        latent = {"length": self.config.latent.length, "distribution": "normal"}
        card = card_of(self.config, generator, **about, method="bicyclegan", latent=latent)
        models = [ModelExport(TranslationWrapper(generator, **known), card)]
        styled = StyledGenerator(generator, encoder, self.channels.outputs)
        reference = {
            "about": "a target picture whose style the result gets",
            "multiple": getattr(encoder, "multiple", 1),
            "minimum": getattr(encoder, "minimum", 1),
        }
        card = card_of(
            self.config, styled, **about, suffix="-reference", method="bicyclegan, reference", reference=reference
        )
        return [*models, ModelExport(TranslationWrapper(styled, **known), card, suffix=".reference")]


def _draws(name: str) -> bool:
    """Return whether the network called `name` makes pictures."""
    return built_networks.has_option(name, "outputs")


@contextmanager
def frozen(network: nn.Module) -> Iterator[None]:
    """Keep gradients of what `network` computes meanwhile from its own weights. They still reach its input."""
    trained = [parameter for parameter in network.parameters() if parameter.requires_grad]
    for parameter in trained:
        parameter.requires_grad_(False)
    try:
        yield
    finally:
        for parameter in trained:
            parameter.requires_grad_(True)
