"""DistanceGAN: Benaim and Wolf 2017, "One-Sided Unsupervised Domain Mapping"."""

from collections.abc import Mapping
from typing import Literal, Self

import torch
from pydantic import Field, model_validator
from torch import Tensor
from torch.utils.data import Dataset

from img2img.errors import DataError
from img2img.methods.config import ScheduleConfig
from img2img.methods.figures import to_signed
from img2img.methods.method import Batch, Facts
from img2img.methods.unpaired_gan import CycleConfig, CyclicGAN, Pass
from img2img.objectives.pair_distance import Scale, distance_loss, halves, pairs

MAX_PICTURES = 900
"""Pictures per side whose distances are measured before training, as in the official code."""


class Config(CycleConfig):
    """Section 3, with the networks of CycleGAN: LSGAN + distances, without a cycle loss and a replay pool.

    With `direction = "AtoB"`, one generator and one discriminator are trained, as the title says.
    """

    method: Literal["distancegan"] = Field(default="distancegan", description="method")
    distance: float = Field(default=1.0, gt=0, description="weight of the distance loss (equations 3 and 4)")
    self_distance: bool = Field(
        default=True,
        description="compare the top half with the bottom half of each picture (equation 4), which works with batches "
        "of one; false: compare the pictures of a batch with each other (equation 3)",
    )
    objective: Literal["l1", "l2", "charbonnier"] = Field(default="l1", description="distance in the cycle loss")
    cycle: float = Field(default=0.0, ge=0, description="weight of the cycle loss; the paper also tries 10")
    schedule: ScheduleConfig = ScheduleConfig(shape="linear", flat=0.5)

    @model_validator(mode="after")
    def _has_pairs(self) -> Self:
        if not self.self_distance and self.batch_of_a_part < 2:
            parts = f" in accumulate = {self.accumulate} parts" if self.accumulate > 1 else ""
            raise ValueError(
                f"batch = {self.batch}{parts}: pictures can only be compared with each other in batches of 2 or more; "
                "set self_distance to true, or use a larger batch"
            )
        return self


class DistanceGAN(CyclicGAN):
    """DistanceGAN: what differs much in one domain should differ much in the other. See `UnpairedGAN`."""

    recipe = Config
    config: Config

    scales: Mapping[str, Scale]

    def __init__(self, config: Config, facts: Facts | None = None) -> None:
        super().__init__(config, facts)
        self.distances = halves if config.self_distance else pairs

    def load(self) -> Dataset[Batch]:
        crops = super().load()
        measure = Scale.of_halves if self.config.self_distance else Scale.of_pairs
        counts = {side: len(pictures) for side, pictures in self.data.dataset.sides.items()}
        for side, count in counts.items():
            if count < 3:
                raise DataError(f"side {side.upper()} has {count} training pictures; distancegan needs 3")
        items = [crops[index] for index in range(min(max(counts.values()), MAX_PICTURES))]
        self.scales = {
            side: measure(to_signed(torch.stack([item[side] for item in items[:count]])))
            for side, count in counts.items()
        }
        return crops

    def terms(self, one: Pass) -> dict[str, Tensor]:
        source, result = self.distances(one.real), self.distances(one.fake)
        loss = distance_loss(source, result, self.scales[one.source], self.scales[one.target])
        return {"distance": self.config.distance * loss, **super().terms(one)}
