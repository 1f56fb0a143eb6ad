"""What the methods for two domains without pairs share: a generator and a discriminator per direction."""

from abc import abstractmethod
from collections.abc import Generator, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Literal, Self

import torch
from pydantic import Field, PositiveInt, model_validator
from torch import Tensor, nn

from img2img import objectives
from img2img.exchange.wrappers import TranslationWrapper
from img2img.methods import unpaired
from img2img.methods.figures import Picture, to_signed
from img2img.methods.gan import check_crop
from img2img.methods.growing import GrowingConfig
from img2img.methods.method import Batch, Facts, ModelExport, Networks, OptimiserSpec, Step
from img2img.methods.two_sided import DIRECTIONS, TwoSidedConfig, TwoSidedGAN
from img2img.networks.norms import inference_copy
from img2img.networks.unet import UNet
from img2img.objectives.mode_regulariser import ModeRegulariser

LOGITS = ("minimax", "non-saturating", "dragan")
"""The adversarial objectives in which a score is the logit of "this is real"."""


class UnpairedConfig(TwoSidedConfig, GrowingConfig):
    """Settings of all these methods."""

    direction: Literal["both", "AtoB", "BtoA"] = Field(
        default="both", description="directions to train; one direction has no way back, so no cycle loss"
    )
    generator_steps: PositiveInt = Field(
        default=1, le=100, description="generator updates per discriminator update, each on its own batch"
    )
    pool: int = Field(
        default=0, ge=0, le=100_000, description="earlier results in the replay pool of each discriminator"
    )

    @property
    def directions(self) -> dict[str, tuple[str, str]]:
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


class UnpairedGAN(TwoSidedGAN):
    """Base of the methods with a generator per direction: `generator_ab` (A to B), `generator_ba`.

    With `direction`, there are only the networks of one direction. A method adds its terms with `terms`, and may weigh
    them and the adversarial loss with `total`.
    """

    config: UnpairedConfig

    def __init__(self, config: UnpairedConfig, facts: Facts | None = None) -> None:
        self.config = config
        self.notes = []
        generators = tuple(f"generator_{source}{target}" for source, target in config.directions.values())
        defaults = {"downs": UNet.depth(config.data.crop)} if config.generator.name == "unet" else {}
        self.networks = {}
        for name in generators:
            network = config.build(config.generator, fixed={"inputs": 3, "outputs": 3}, defaults=defaults)
            check_crop(config.data.crop, config.generator, network)
            self.networks[name] = network
        self.optimisers = {"generator": OptimiserSpec(generators, config.optimiser)}
        self.averaged = generators
        self.build_discriminators(pool=config.pool)

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
                yield from self.update_discriminators(networks, real, fake, figures)
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

    def translations(self, networks: Networks, way: str, sources: Sequence[Picture]) -> dict[str, list[Picture]]:
        source, target = DIRECTIONS[way]
        mode = self.config.norm_mode
        results = unpaired.translate(inference_copy(networks[f"generator_{source}{target}"], mode), sources)
        columns = {"result": results}
        if back := networks.get(f"generator_{target}{source}"):
            columns["back again"] = unpaired.translate(inference_copy(back, mode), results)
        return columns

    def models(self, networks: Networks) -> list[ModelExport]:
        """Return one model per direction: `model.AtoB.onnx`, `model.BtoA.onnx`; `model.onnx` if there is only one."""
        models = []
        for way, (source, target) in self.config.directions.items():
            generator = inference_copy(networks[f"generator_{source}{target}"], self.config.norm_mode)
            models.append(self.model(way, generator, TranslationWrapper(generator)))
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
