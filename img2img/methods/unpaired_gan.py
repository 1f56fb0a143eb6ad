"""What the methods for two domains without pairs share: a generator and a discriminator per direction."""

from abc import abstractmethod
from collections.abc import Generator, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Literal, Self

import torch
from pydantic import Field, PositiveInt, model_validator
from torch import Tensor, nn
from torch.utils.data import Dataset

from img2img import objectives
from img2img.data.ranges import BatchSize, Steps
from img2img.data.unpaired import UnpairedData, UnpairedSet
from img2img.exchange.wrappers import TranslationWrapper
from img2img.methods import unpaired
from img2img.methods.adversarial import add_discriminators
from img2img.methods.cards import card_of
from img2img.methods.config import AdversarialConfig, MatchingConfig, NetworkConfig, ScheduleConfig
from img2img.methods.figures import Picture, spread, to_signed
from img2img.methods.gan import check_crop
from img2img.methods.growing import GrowingConfig
from img2img.methods.method import Batch, Facts, Method, ModelExport, Networks, OptimiserSpec, Step, Validation
from img2img.methods.pool import Pool
from img2img.networks.norms import inference_copy
from img2img.networks.unet import UNet
from img2img.objectives.mode_regulariser import ModeRegulariser

SHEET_ROWS = 4
"""Rows of the contact sheet per direction."""

LOGITS = ("minimax", "non-saturating", "dragan")
"""The adversarial objectives in which a score is the logit of "this is real"."""

DIRECTIONS = {"AtoB": ("a", "b"), "BtoA": ("b", "a")}


class UnpairedConfig(GrowingConfig):
    """Settings of all these methods."""

    matching_kinds = ("mean",)

    data: UnpairedData = Field(description="two folders of pictures")
    generator: NetworkConfig = Field(default=NetworkConfig(name="resnet"), description="generator of each direction")
    discriminator: NetworkConfig = Field(
        default=NetworkConfig(name="patchgan", options={"norm": "instance"}), description="discriminator of each side"
    )
    adversarial: AdversarialConfig = Field(default=AdversarialConfig(name="lsgan"), description="adversarial objective")
    matching: MatchingConfig = MatchingConfig(kind="mean")
    direction: Literal["both", "AtoB", "BtoA"] = Field(
        default="both", description="directions to train; one direction has no way back, so no cycle loss"
    )
    generator_steps: PositiveInt = Field(
        default=1, le=100, description="generator updates per discriminator update, each on its own batch"
    )
    pool: int = Field(
        default=0, ge=0, le=100_000, description="earlier results in the replay pool of each discriminator"
    )
    norm_mode: Literal["paper", "running"] = Field(
        default="paper",
        description="batch norm in validation and export: statistics of the picture (paper) or of training (running)",
    )
    steps: Steps = Field(default=200_000, description="training steps (generator updates)")
    batch: BatchSize = Field(default=1, description="pictures per side and step, over all processes")
    schedule: ScheduleConfig = ScheduleConfig(shape="constant")

    @property
    def directions(self) -> dict[str, tuple[str, str]]:
        """The directions to train, each with its source and target side."""
        return {way: sides for way, sides in DIRECTIONS.items() if self.direction in (way, "both")}

    @model_validator(mode="after")
    def _updates_fit(self) -> Self:
        if self.generator_steps > 1 and self.adversarial.discriminator_steps > 1:
            raise ValueError(
                f"generator_steps = {self.generator_steps} and adversarial.discriminator_steps = "
                f"{self.adversarial.discriminator_steps}: one of them must be 1"
            )
        return self


class CycleConfig(UnpairedConfig):
    """Settings of the methods that translate there and back."""

    objective: Literal["l1", "l2", "charbonnier"] = Field(
        default="l1", description="distance between a picture and its translation there and back"
    )
    cycle: float = Field(default=10.0, ge=0, description="weight of the cycle loss, G(F(b)) = b and F(G(a)) = a")
    mode_regulariser: float = Field(
        default=0.0,
        ge=0,
        description="weight of the mode regulariser (MRGAN, Che et al. 2017): pictures that were translated there and "
        "back should pass for real, so that no kind of picture is missed. Needs a discriminator of logits: adversarial."
        "name = minimax, non-saturating or dragan",
    )

    @model_validator(mode="after")
    def _has_a_way_back(self) -> Self:
        if self.cycle and self.direction != "both":
            raise ValueError(f"direction = {self.direction} has no way back for the cycle loss: set cycle to 0")
        if self.mode_regulariser and self.direction != "both":
            raise ValueError(f"direction = {self.direction} has no way back: set mode_regulariser to 0")
        if self.mode_regulariser and self.adversarial.name not in LOGITS:
            raise ValueError(
                f"mode_regulariser needs a discriminator of logits: adversarial.name = {', '.join(LOGITS)}, "
                f"not {self.adversarial.name}"
            )
        return self


@dataclass
class Pass:
    """One direction of a step.

    Attributes:
        source, target: the sides, "a" or "b".
        real: the real pictures of the source, `[N, 3, H, W]`, -1..1.
        wanted: real pictures of the target. They are not the results that `real` should give.
        there: the generator of this direction.
        back: that of the other direction; None: it is not trained.
        judge: the discriminator of the source side; None: it is not trained.
    """

    source: str
    target: str
    real: Tensor
    wanted: Tensor
    there: nn.Module
    back: nn.Module | None
    judge: nn.Module | None

    @cached_property
    def fake(self) -> Tensor:
        """The translation of `real`."""
        result: Tensor = self.there(self.real)
        return result

    @cached_property
    def cycled(self) -> Tensor:
        """`real`, translated there and back."""
        assert self.back is not None, "checked by the configuration"
        result: Tensor = self.back(self.fake)
        return result


class UnpairedGAN(Method):
    """Base of the methods for two domains without pairs.

    Batches hold `a` and `b`, uint8 `[N, 3, H, W]`. Networks: `generator_ab` (A to B), `generator_ba`,
    `discriminator_a`, `discriminator_b`; with `direction`, only those of one direction. A method adds its terms with
    `terms`, and may weigh them and the adversarial loss with `total`.
    """

    headline = "closeness"

    config: UnpairedConfig
    data: UnpairedSet

    def __init__(self, config: UnpairedConfig, facts: Facts | None = None) -> None:
        self.config = config
        self.notes = []
        ways = config.directions.values()
        defaults = {"downs": UNet.depth(config.data.crop)} if config.generator.name == "unet" else {}
        generators = tuple(f"generator_{source}{target}" for source, target in ways)
        self.networks = {}
        for name in generators:
            network = config.build(config.generator, fixed={"inputs": 3, "outputs": 3}, defaults=defaults)
            check_crop(config.data.crop, config.generator, network)
            self.networks[name] = network
        self.optimisers = {"generator": OptimiserSpec(generators, config.optimiser)}
        self.averaged = generators
        self.sides = sorted(target for _, target in ways)
        self.pools = {side: Pool(config.pool) for side in self.sides}
        self.state = {f"pool_{side}": pool for side, pool in self.pools.items()}
        built = {}
        for name in (f"discriminator_{side}" for side in self.sides):
            network = config.build(config.discriminator, fixed={"inputs": 3}, defaults={"size": config.data.crop})
            check_crop(config.data.crop, config.discriminator, network)
            built[name] = network
        self.adversarial = add_discriminators(self, config, built, halve=True)

    def load(self) -> Dataset[Batch]:
        self.data = UnpairedSet.read(self.config.data, seed=self.config.seed, held_out=self.config.validate_pictures)
        self.notes += self.data.notes
        return self.data.dataset

    @abstractmethod
    def terms(self, one: Pass) -> Mapping[str, Tensor]:
        """Return the weighted loss terms of one direction by name, in addition to the adversarial loss."""

    def total(self, adversarial: Tensor, terms: Mapping[str, Tensor]) -> Tensor:
        """Return the generator's loss of one direction."""
        return torch.stack([adversarial, *terms.values()]).sum()

    def step(self, networks: Networks, batches: Sequence[Batch]) -> Step:
        figures: dict[str, Tensor] = {}
        # As in the official codes, the generators are updated first. The discriminators see the results from before.
        for place, batch in enumerate(batches):
            passes = self._passes(networks, batch)
            with torch.set_grad_enabled(place == 0):
                fake = {one.target: one.fake for one in passes}
            if place == 0:
                yield from self._update_generators(networks, passes, figures)
            if self.step_number % self.config.generator_steps == 0:
                real = {one.target: one.wanted for one in passes}
                yield from self._update_discriminators(networks, real, fake, figures)
        return figures | self.adversarial[f"discriminator_{self.sides[-1]}"].gradient()

    def _passes(self, networks: Networks, batch: Batch) -> list[Pass]:
        real = {side: to_signed(batch[side]) for side in "ab"}
        return [
            Pass(
                source,
                target,
                real[source],
                real[target],
                networks[f"generator_{source}{target}"],
                networks.get(f"generator_{target}{source}"),
                networks.get(f"discriminator_{source}"),
            )
            for source, target in self.config.directions.values()
        ]

    def _update_generators(
        self, networks: Networks, passes: Sequence[Pass], figures: dict[str, Tensor]
    ) -> Generator[tuple[str, Tensor], None, None]:
        losses = []
        for one in passes:
            name = f"discriminator_{one.target}"
            adversarial, more = self.adversarial[name].generator_loss(networks[name], one.fake, one.wanted)
            terms = self.terms(one)
            figures |= {f"{figure}_{one.target}": value for figure, value in more.items()}
            figures |= {f"{term}_{one.source}": value.detach() for term, value in terms.items()}
            losses.append(self.total(adversarial, terms))
        loss = torch.stack(losses).sum()
        yield "generator", loss
        figures["loss"] = loss.detach()

    def _update_discriminators(
        self, networks: Networks, real: Mapping[str, Tensor], fake: Mapping[str, Tensor], figures: dict[str, Tensor]
    ) -> Generator[tuple[str, Tensor], None, None]:
        losses = []
        accuracies: dict[str, list[Tensor]] = {"accuracy_real": [], "accuracy_fake": []}
        for side in self.sides:
            name = f"discriminator_{side}"
            shown = self.pools[side].exchange(fake[side])
            loss, more = self.adversarial[name].discriminator_loss(networks[name], real[side], shown)
            losses.append(loss)
            for figure, value in more.items():
                if figure in accuracies:
                    accuracies[figure].append(value)
                else:
                    figures[f"{figure}_{side}"] = value
        yield "discriminator", torch.stack(losses).sum()
        figures |= {figure: torch.stack(values).mean() for figure, values in accuracies.items()}

    @torch.no_grad()
    def validate(self, networks: Networks) -> Validation:
        """Measure each direction, see `unpaired.measure`.

        `closeness` is minus the mean sliced Wasserstein distance between results and real pictures of the target side.
        If file names show what a result should be (`data.truth`), the distances to that are measured too.
        """
        held = {"a": self.data.held_out_a, "b": self.data.held_out_b}
        real = {side: [one.picture for one in members] for side, members in held.items()}
        ways, mode = self.config.directions, self.config.norm_mode
        figures: dict[str, float] = {}
        rows: list[list[Picture]] = []
        for way, (source, target) in ways.items():
            results = unpaired.translate(inference_copy(networks[f"generator_{source}{target}"], mode), real[source])
            columns = [real[source], results]
            if len(ways) == 2:
                back = inference_copy(networks[f"generator_{target}{source}"], mode)
                columns.append(unpaired.translate(back, results))
            truth = [(s, t) if source == "a" else (t, s) for s, t in self.data.truth]
            figures |= unpaired.measure(results, real[source], real[target], truth, f"_{way}")
            rows += spread([list(row) for row in zip(*columns, strict=True)], SHEET_ROWS)
        figures["diversity"] = min(figures[f"diversity_{way}"] for way in ways)
        figures["closeness"] = -sum(figures[f"swd_{way}"] for way in ways) / len(ways)
        return Validation(figures, ["input", "result", "back again"][: 1 + len(ways)], rows)

    def models(self, networks: Networks) -> list[ModelExport]:
        """Return one model per direction: `model.AtoB.onnx`, `model.BtoA.onnx`; `model.onnx` if there is only one."""
        models = []
        for way, (source, target) in self.config.directions.items():
            generator = inference_copy(networks[f"generator_{source}{target}"], self.config.norm_mode)
            both = self.config.direction == "both"
            card = card_of(
                self.config,
                generator,
                name=self.config.method,
                suffix=f"-{way}" if both else "",
                task="translate",
                method=f"{self.config.method}, {way}",
            )
            models.append(ModelExport(TranslationWrapper(generator), card, suffix=f".{way}" if both else ""))
        return models


class CyclicGAN(UnpairedGAN):
    """Base of those methods that translate there and back.

    Their terms are the cycle loss and the mode regulariser; they may add others.
    """

    config: CycleConfig

    def __init__(self, config: CycleConfig, facts: Facts | None = None) -> None:
        super().__init__(config, facts)
        self.distance = objectives.build(config.objective)
        self.regulariser = ModeRegulariser()

    def terms(self, one: Pass) -> dict[str, Tensor]:
        found = {}
        if self.config.cycle:
            found["cycle"] = self.config.cycle * self.distance(one.cycled, one.real)
        if self.config.mode_regulariser:
            assert one.judge is not None, "checked by the configuration"
            found["mode_regulariser"] = self.config.mode_regulariser * self.regulariser(one.judge(one.cycled))
        return found
