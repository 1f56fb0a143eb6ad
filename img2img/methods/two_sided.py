"""What all methods for two domains without pairs share: two folders, a discriminator per side, validation, models."""

from abc import abstractmethod
from collections.abc import Generator, Mapping, Sequence
from typing import Literal, Self

import torch
from pydantic import Field, model_validator
from torch import Tensor, nn
from torch.utils.data import Dataset

from img2img.data.ranges import BatchSize, Steps
from img2img.data.unpaired import UnpairedData, UnpairedSet
from img2img.methods import unpaired
from img2img.methods.adversarial import AdversarialLoss, add_discriminators
from img2img.methods.cards import card_of
from img2img.methods.config import AdversarialConfig, MatchingConfig, NetworkConfig, ScheduleConfig
from img2img.methods.figures import Picture, spread
from img2img.methods.gan import GANConfig, check_crop
from img2img.methods.method import Batch, Method, ModelExport, Networks, Validation
from img2img.methods.pool import Pool

SHEET_ROWS = 4
"""Rows of the contact sheet per direction."""

DIRECTIONS = {"AtoB": ("a", "b"), "BtoA": ("b", "a")}
"""Name of each direction to its source and target side."""


class TwoSidedConfig(GANConfig):
    """Settings of all these methods."""

    matching_kinds = ("mean",)

    data: UnpairedData = Field(description="two folders of pictures")
    generator: NetworkConfig = Field(default=NetworkConfig(name="resnet"), description="generator of each direction")
    discriminator: NetworkConfig = Field(
        default=NetworkConfig(name="patchgan", options={"norm": "instance"}), description="discriminator of each side"
    )
    adversarial: AdversarialConfig = Field(default=AdversarialConfig(name="lsgan"), description="adversarial objective")
    matching: MatchingConfig = MatchingConfig(kind="mean")
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
        return DIRECTIONS

    @model_validator(mode="after")
    def _has_no_truth(self) -> Self:
        if self.perceptual.weight:
            raise ValueError(
                f"perceptual.weight compares results with their truths, and {self.method} has none: set it to 0"
            )
        return self


class TwoSidedGAN(Method):
    """Base of the methods for two domains, a and b, without pairs.

    Batches hold `a` and `b`, uint8 `[N, 3, H, W]`. Networks: `discriminator_a` and `discriminator_b`, and those that a
    method adds.
    """

    headline = "closeness"

    config: TwoSidedConfig
    data: UnpairedSet
    sides: Sequence[str]
    """The sides that have a discriminator."""
    adversarial: Mapping[str, AdversarialLoss]

    def load(self) -> Dataset[Batch]:
        self.data = UnpairedSet.read(self.config.data, seed=self.config.seed, held_out=self.config.validate_pictures)
        self.notes += self.data.notes
        return self.data.dataset

    @abstractmethod
    def translations(self, networks: Networks, way: str, sources: Sequence[Picture]) -> dict[str, list[Picture]]:
        """Translate held-out pictures in the direction `way`. Return caption to pictures; the first are measured."""

    def further_figures(self, columns: Mapping[str, Sequence[Picture]]) -> dict[str, float]:
        """Return further figures of the columns that `translations` returned for one direction."""
        return {}

    def build_discriminators(self, *, pool: int = 0) -> None:
        """Build a discriminator for each side that a direction leads to, each with a replay pool of `pool` results."""
        config = self.config
        self.sides = sorted(target for _, target in config.directions.values())
        self.pools = {side: Pool(pool) for side in self.sides}
        self.state = {f"pool_{side}": one for side, one in self.pools.items()}
        built = {}
        for name in (f"discriminator_{side}" for side in self.sides):
            network = config.build(config.discriminator, fixed={"inputs": 3}, defaults={"size": config.data.crop})
            check_crop(config.data.crop, config.discriminator, network)
            built[name] = network
        self.adversarial = add_discriminators(self, config, built, halve=True)

    def update_discriminators(
        self, networks: Networks, real: Mapping[str, Tensor], fake: Mapping[str, Tensor], figures: dict[str, Tensor]
    ) -> Generator[tuple[str, Tensor], None, None]:
        """Update all discriminators, and add their figures to `figures`.

        Args:
            real, fake: side to pictures `[N, 3, H, W]`, -1..1.
        """
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
        ways = self.config.directions
        figures: dict[str, float] = {}
        rows: list[list[Picture]] = []
        for way, (source, target) in ways.items():
            columns = self.translations(networks, way, real[source])
            results = next(iter(columns.values()))
            truth = [(s, t) if source == "a" else (t, s) for s, t in self.data.truth]
            figures |= unpaired.measure(results, real[source], real[target], truth, f"_{way}")
            figures |= {f"{name}_{way}": value for name, value in self.further_figures(columns).items()}
            rows += spread([list(row) for row in zip(real[source], *columns.values(), strict=True)], SHEET_ROWS)
        figures["diversity"] = min(figures[f"diversity_{way}"] for way in ways)
        figures["closeness"] = -sum(figures[f"swd_{way}"] for way in ways) / len(ways)
        return Validation(figures, ["input", *columns], rows)

    def model(
        self, way: str, network: nn.Module, wrapped: nn.Module, *, suffix: str = "", **facts: object
    ) -> ModelExport:
        """Return the model of the direction `way`. If there are two directions, its file has the name of this one.

        Args:
            network: the translator in -1..1, which states the sizes that it takes.
            wrapped: the same for RGB 0..1.
            suffix: appended to the name of the file and of the model, if a direction has several models.
            facts: further fields of the card.
        """
        config = self.config
        ending = (f".{way}" if len(config.directions) > 1 else "") + suffix
        card = card_of(
            config,
            network,
            name=config.method,
            suffix=ending.replace(".", "-"),
            task="translate",
            method=f"{config.method}, {way}",
            **facts,
        )
        return ModelExport(wrapped, card, suffix=ending)
