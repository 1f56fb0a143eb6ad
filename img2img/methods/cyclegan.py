"""CycleGAN: Zhu et al. 2017, "Unpaired Image-to-Image Translation using Cycle-Consistent Adversarial Networks"."""

from collections.abc import Generator, Sequence
from typing import Literal, Self

import torch
from pydantic import Field, model_validator
from torch import Tensor, nn
from torch.utils.data import Dataset

from img2img import objectives
from img2img.data.ranges import BatchSize, Steps
from img2img.data.unpaired import UnpairedData, UnpairedSet
from img2img.evaluation.sliced_wasserstein import sliced_wasserstein
from img2img.exchange.wrappers import TranslationWrapper
from img2img.methods.adversarial import add_discriminators
from img2img.methods.cards import card_of
from img2img.methods.config import AdversarialConfig, MatchingConfig, NetworkConfig, ScheduleConfig
from img2img.methods.figures import Picture, distances, diversity, spread, to_pictures, to_signed
from img2img.methods.gan import GANConfig, check_crop
from img2img.methods.method import Batch, Facts, Method, ModelExport, Networks, OptimiserSpec, Step, Validation
from img2img.methods.pool import Pool
from img2img.networks.norms import inference_copy
from img2img.networks.unet import UNet

SHEET_ROWS = 4
"""Rows of the contact sheet per direction."""

DIRECTIONS = {"AtoB": ("a", "b"), "BtoA": ("b", "a")}


class Config(GANConfig):
    """Section 4 and appendix 7: ResNet-9 and 70x70 PatchGANs, LSGAN + 10 cycle + 5 identity, replay pools of 50."""

    matching_kinds = ("mean",)

    method: Literal["cyclegan"] = Field(default="cyclegan", description="method")
    data: UnpairedData = Field(description="two folders of pictures")
    generator: NetworkConfig = Field(default=NetworkConfig(name="resnet"), description="both generators")
    discriminator: NetworkConfig = Field(
        default=NetworkConfig(name="patchgan", options={"norm": "instance"}), description="both discriminators"
    )
    adversarial: AdversarialConfig = Field(default=AdversarialConfig(name="lsgan"), description="adversarial objective")
    matching: MatchingConfig = MatchingConfig(kind="mean")
    objective: Literal["l1", "l2", "charbonnier"] = Field(
        default="l1", description="distance in the cycle and identity losses (equation 2)"
    )
    cycle: float = Field(default=10.0, ge=0, description="weight of the cycle loss, G(F(b)) = b and F(G(a)) = a")
    identity: float = Field(
        default=0.5,
        ge=0,
        description="weight of the identity loss, G(b) = b and F(a) = a, as a fraction of `cycle`; 0 if `cycle` is",
    )
    pool: int = Field(
        default=50, ge=0, le=100_000, description="earlier results in the replay pool of each discriminator"
    )
    norm_mode: Literal["paper", "running"] = Field(
        default="paper",
        description="batch norm in validation and export: statistics of the picture (paper) or of training (running)",
    )
    steps: Steps = Field(default=200_000, description="training steps; the paper trains for 200 epochs")
    batch: BatchSize = Field(default=1, description="pictures per side and step, over all processes")
    schedule: ScheduleConfig = ScheduleConfig(shape="linear", flat=0.5)

    @model_validator(mode="after")
    def _identity_has_an_effect(self) -> Self:
        if self.identity and not self.cycle:
            raise ValueError(
                f"identity = {self.identity:g} is a fraction of cycle, and cycle is 0: set identity to 0 too"
            )
        return self

    @model_validator(mode="after")
    def _matches_batches(self) -> Self:
        parts = f" in accumulate = {self.accumulate} parts" if self.accumulate > 1 else ""
        if self.matching.weight and self.batch // self.accumulate < 2:
            raise ValueError(
                f"batch = {self.batch}{parts}: matching.weight compares the mean features of a batch, and needs 2 "
                "pictures or more; single pictures of two domains have nothing to match"
            )
        return self


class CycleGAN(Method):
    """CycleGAN.

    Batches hold `a` and `b`, uint8 `[N, 3, H, W]`. Networks: `generator_ab` (G in the paper, A to B), `generator_ba`
    (F), `discriminator_a` and `discriminator_b`.
    """

    recipe = Config
    headline = "closeness"

    data: UnpairedSet

    def __init__(self, config: Config, facts: Facts | None = None) -> None:
        self.config = config
        self.notes = []
        defaults = {"downs": UNet.depth(config.data.crop)} if config.generator.name == "unet" else {}
        generators, discriminators = ("generator_ab", "generator_ba"), ("discriminator_a", "discriminator_b")
        self.networks = {}
        for name in generators:
            network = config.build(config.generator, fixed={"inputs": 3, "outputs": 3}, defaults=defaults)
            check_crop(config.data.crop, config.generator, network)
            self.networks[name] = network
        self.optimisers = {"generator": OptimiserSpec(generators, config.optimiser)}
        self.averaged = generators
        self.pools = {side: Pool(config.pool) for side in "ab"}
        self.state = {f"pool_{side}": pool for side, pool in self.pools.items()}
        built = {}
        for name in discriminators:
            network = config.build(config.discriminator, fixed={"inputs": 3}, defaults={"size": config.data.crop})
            check_crop(config.data.crop, config.discriminator, network)
            built[name] = network
        self.adversarial = add_discriminators(self, config, built, halve=True)
        self.distance: nn.Module = objectives.build(config.objective)

    def load(self) -> Dataset[Batch]:
        self.data = UnpairedSet.read(self.config.data, seed=self.config.seed, held_out=self.config.validate_pictures)
        self.notes += self.data.notes
        return self.data.dataset

    def step(self, networks: Networks, batches: Sequence[Batch]) -> Step:
        figures: dict[str, Tensor] = {}
        # As in the official code, the generators are updated first. The discriminators see the results from before.
        for place, batch in enumerate(batches):
            real = {side: to_signed(batch[side]) for side in "ab"}
            fake: dict[str, Tensor] = {}
            if place == 0:
                fake = yield from self._update_generators(networks, real, figures)
            else:
                with torch.no_grad():
                    fake = {"b": networks["generator_ab"](real["a"]), "a": networks["generator_ba"](real["b"])}
            losses = []
            for side in "ab":
                name = f"discriminator_{side}"
                shown = self.pools[side].exchange(fake[side])
                loss, more = self.adversarial[name].discriminator_loss(networks[name], real[side], shown)
                losses.append(loss)
                figures |= {f"{figure}_{side}": value for figure, value in more.items()}
            yield "discriminator", torch.stack(losses).sum()
        for name in ("accuracy_real", "accuracy_fake"):
            figures[name] = (figures.pop(f"{name}_a") + figures.pop(f"{name}_b")) / 2
        return figures | self.adversarial["discriminator_b"].gradient()

    def _update_generators(
        self, networks: Networks, real: dict[str, Tensor], figures: dict[str, Tensor]
    ) -> Generator[tuple[str, Tensor], None, dict[str, Tensor]]:
        config, total = self.config, []
        fake: dict[str, Tensor] = {}
        for source, target in DIRECTIONS.values():
            there, back = networks[f"generator_{source}{target}"], networks[f"generator_{target}{source}"]
            fake[target] = there(real[source])
            name = f"discriminator_{target}"
            adversarial, more = self.adversarial[name].generator_loss(networks[name], fake[target], real[target])
            terms = {"cycle": config.cycle * self.distance(back(fake[target]), real[source])} if config.cycle else {}
            if config.identity:
                same = self.distance(there(real[target]), real[target])
                terms["identity"] = config.cycle * config.identity * same
            figures |= {f"{figure}_{target}": value for figure, value in more.items()}
            figures |= {f"{term}_{source}": value.detach() for term, value in terms.items()}
            total += [adversarial, *terms.values()]
        loss = torch.stack(total).sum()
        yield "generator", loss
        figures["loss"] = loss.detach()
        return {side: picture.detach() for side, picture in fake.items()}

    @torch.no_grad()
    def validate(self, networks: Networks) -> Validation:
        """Measure both directions.

        `closeness` is minus the mean sliced Wasserstein distance between results and real pictures of the target side.
        Figures ending in `_input` measure the inputs themselves. If file names show what a result should be
        (`data.truth`), the distances to that are measured too.
        """
        held = {"a": self.data.held_out_a, "b": self.data.held_out_b}
        real = {side: [one.picture for one in members] for side, members in held.items()}
        figures: dict[str, float] = {}
        rows: list[list[Picture]] = []
        for way, (source, target) in DIRECTIONS.items():
            there = inference_copy(networks[f"generator_{source}{target}"], self.config.norm_mode)
            back = inference_copy(networks[f"generator_{target}{source}"], self.config.norm_mode)
            results, cycles = _there_and_back(there, back, real[source])
            figures[f"swd_{way}"] = sliced_wasserstein(results, real[target])
            figures[f"swd_{way}_input"] = sliced_wasserstein(real[source], real[target])
            figures[f"diversity_{way}"] = diversity(results, real[target])
            pairs = [(s, t) if source == "a" else (t, s) for s, t in self.data.truth]
            if pairs:
                truths = [real[target][t] for _, t in pairs]
                ours = distances([results[s] for s, _ in pairs], truths)
                copied = distances([real[source][s] for s, _ in pairs], truths)
                figures |= {f"l1_{way}": ours["l1"], f"l1_{way}_input": copied["l1"], f"ssim_{way}": ours["ssim"]}
            rows += spread([list(row) for row in zip(real[source], results, cycles, strict=True)], SHEET_ROWS)
        figures["diversity"] = min(figures[f"diversity_{way}"] for way in DIRECTIONS)
        figures["closeness"] = -(figures["swd_AtoB"] + figures["swd_BtoA"]) / 2
        return Validation(figures, ["input", "result", "back again"], rows)

    def models(self, networks: Networks) -> list[ModelExport]:
        """Return one model per direction: `model.AtoB.onnx` and `model.BtoA.onnx`."""
        models = []
        for way, (source, target) in DIRECTIONS.items():
            generator = inference_copy(networks[f"generator_{source}{target}"], self.config.norm_mode)
            card = card_of(
                self.config,
                generator,
                name="cyclegan",
                suffix=f"-{way}",
                task="translate",
                method=f"cyclegan, {way}",
            )
            models.append(ModelExport(TranslationWrapper(generator), card, suffix=f".{way}"))
        return models


def _there_and_back(
    there: nn.Module, back: nn.Module, sources: Sequence[Picture]
) -> tuple[list[Picture], list[Picture]]:
    """Translate each source, and translate the result back."""
    device = next(there.parameters()).device
    results: list[Picture] = []
    cycles: list[Picture] = []
    for source in sources:
        fake = there(to_signed(torch.from_numpy(source).permute(2, 0, 1)[None].to(device)))
        results += to_pictures(fake)
        cycles += to_pictures(back(fake))
    return results, cycles
