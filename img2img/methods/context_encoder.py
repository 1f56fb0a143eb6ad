"""Context encoders: Pathak et al. 2016, "Context Encoders: Feature Learning by Inpainting".

The global and local discriminators are those of Iizuka et al. 2017, "Globally and Locally Consistent Image Completion".
Each has its own loss (Li et al. 2017, "Generative Face Completion", section 3.2). The parsing loss is that of the same
paper.
"""

from collections.abc import Sequence
from typing import Literal

import torch
from pydantic import Field
from torch import Tensor, nn
from torch.utils.data import Dataset

from img2img.data.folders import Reading
from img2img.data.ranges import BatchSize, Side, Steps
from img2img.errors import ConfigError
from img2img.methods.adversarial import AdversarialLoss, add_discriminators
from img2img.methods.config import AdversarialConfig, NetworkConfig, ObjectiveWeights, OptimiserConfig, ScheduleConfig
from img2img.methods.inpainting import (
    Inpainting,
    InpaintingConfig,
    InpaintingData,
    WeighingConfig,
    build_discriminator,
    build_generator,
    paste,
    stages,
    truth_and_mask,
)
from img2img.methods.method import Batch, Facts, Networks, OptimiserSpec, Step
from img2img.methods.parsing import ParsingConfig, ParsingLoss


class ContextData(InpaintingData):
    """Photos, and the holes to cut into them."""

    crop: Side = Field(default=128, description="side of the crops in pixels, a power of two")


class Config(InpaintingConfig):
    """Pathak et al., section 3.2 and the official repository: 0.999 L2 in the hole + 0.001 adversarial, Adam 2e-3 for
    the generator and 2e-4 for the discriminators, batch 64, 128 px.

    The generator gets the mask as a fourth channel and returns a whole picture (Iizuka et al., section 3.1), so holes
    can be anywhere. It is convolutional: larger pictures have a larger code.
    """

    method: Literal["context-encoder"] = Field(default="context-encoder", description="method")
    data: ContextData = Field(description="photos, and holes in them")
    generator: NetworkConfig = Field(default=NetworkConfig(name="context-encoder"), description="generator")
    discriminator: NetworkConfig = Field(
        default=NetworkConfig(name="dcgan"), description="global discriminator, for the whole filled picture"
    )
    local_discriminator: NetworkConfig = Field(
        default=NetworkConfig(name="dcgan"),
        description="local discriminator, for a window around the hole, half as wide as the picture",
    )
    judges: Literal["both", "global", "local"] = Field(default="both", description="which discriminators to train")
    adversarial: AdversarialConfig = Field(
        default=AdversarialConfig(name="non-saturating", weight=0.001),
        description="adversarial objective of each discriminator; weight 0: no discriminator",
    )
    objectives: ObjectiveWeights = Field(
        default={"l2": 0.999},
        description="reconstruction objectives and their weights, computed before the known pixels are pasted back",
    )
    weighing: WeighingConfig = WeighingConfig(by="region", hole=1.0, valid=0.0)
    parsing: ParsingConfig = ParsingConfig()
    optimiser: OptimiserConfig = OptimiserConfig(rate=2e-3, betas=(0.5, 0.999))
    discriminator_optimiser: OptimiserConfig = OptimiserConfig(rate=2e-4, betas=(0.5, 0.999))
    steps: Steps = Field(default=100_000, description="training steps")
    batch: BatchSize = Field(default=64, description="photos per step, over all processes")
    schedule: ScheduleConfig = ScheduleConfig(shape="constant")


class ContextEncoder(Inpainting):
    """The context encoder. See `Inpainting` for its batches and its generator."""

    recipe = Config

    def __init__(self, config: Config, facts: Facts | None = None) -> None:
        super().__init__(config, build_generator(config))
        self.window = config.data.crop // 2
        self.optimisers = {"generator": OptimiserSpec(("generator",), config.optimiser)}
        self.adversarial: dict[str, AdversarialLoss] = {}
        if config.has_discriminator:
            losses = add_discriminators(self, config, self._discriminators(config))
            self.adversarial = {name.removeprefix("discriminator_"): loss for name, loss in losses.items()}
        self.parsing: ParsingLoss | None = None
        if config.parsing.weight:
            self.parsing = ParsingLoss(config.parsing, side=config.data.crop, seed=config.seed)
            self.state = {**self.state, "parsing": self.parsing}
        one_pixel = config.generator.name == "context-encoder"
        if one_pixel and config.batch_of_a_part < 2:
            raise ConfigError(
                f"batch = {config.batch}: the batch norm of context-encoder's code needs at least 2 photos"
            )

    def _discriminators(self, config: Config) -> dict[str, nn.Module]:
        found: dict[str, nn.Module] = {}
        if config.judges in ("both", "global"):
            found["discriminator_global"] = build_discriminator(
                config, config.discriminator, key="discriminator", channels=3, size=config.data.crop
            )
        if config.judges in ("both", "local"):
            found["discriminator_local"] = build_discriminator(
                config, config.local_discriminator, key="local_discriminator", channels=3, size=self.window
            )
        return found

    @property
    def title(self) -> str:
        return f"context encoder (Pathak et al. 2016), {self.config.generator.name} generator"

    def load(self) -> Dataset[Batch]:
        dataset = super().load()
        if self.parsing:
            data = self.config.data
            self.notes.append(self.parsing.find(data.folders, Reading.of(data)))
        return dataset

    def step(self, networks: Networks, batches: Sequence[Batch]) -> Step:
        figures: dict[str, Tensor] = {}
        for batch in batches:
            truth, mask = truth_and_mask(batch)
            result = stages(networks["generator"](truth * (1 - mask), mask))[-1]
            # Both discriminators see the truth, and the result with the known pixels pasted back.
            filled = paste(result, truth, mask)
            real, fake = {"global": truth}, {"global": filled}
            if "local" in self.adversarial:
                corners = hole_corners(mask, self.window)
                real["local"] = windows(truth, corners, self.window)
                fake["local"] = windows(filled, corners, self.window)
            losses = []
            for area, adversarial in self.adversarial.items():
                discriminator = networks[f"discriminator_{area}"]
                loss, more = adversarial.discriminator_loss(discriminator, real[area], fake[area])
                losses.append(loss)
                figures |= {f"{name}_{area}": value for name, value in more.items()}
            if losses:
                yield "discriminator", torch.stack(losses).sum()
        terms, loss = self.reconstruction(result, truth, mask)
        for area, adversarial in self.adversarial.items():
            discriminator = networks[f"discriminator_{area}"]
            score, more = adversarial.generator_loss(discriminator, fake[area], real[area])
            terms |= {f"{name}_{area}": value for name, value in more.items()}
            loss = loss + score
        if self.parsing:
            parsing = self.parsing(filled, truth)
            terms["parsing"], loss = parsing.detach(), loss + self.parsing.config.weight * parsing
        yield "generator", loss
        if not self.adversarial:
            return {"loss": loss.detach()} | terms
        for name in ("accuracy_real", "accuracy_fake"):  # `training.health` knows these names
            figures[name] = torch.stack([figures.pop(f"{name}_{area}") for area in self.adversarial]).mean()
        gradient = next(iter(self.adversarial.values())).gradient()
        return {"loss": loss.detach()} | terms | figures | gradient


def hole_corners(mask: Tensor, side: int) -> Tensor:
    """Return the corners of windows of `side` x `side` pixels, centred on the holes as far as the picture allows.

    Args:
        mask: `[N, 1, H, W]`, 1 = hole. H and W are at least `side`. The centre of a hole is that of its bounding box.

    Returns:
        int64 `[N, 2]`: top and left of each window, in pixels. Without a hole, the window is in the middle.
    """
    corners = []
    for axis in (3, 2):  # rows remain, then columns
        occupied = mask.amax((1, axis)) > 0
        length = occupied.shape[1]
        place = torch.arange(length, device=mask.device)
        first = torch.where(occupied, place, length).amin(1)
        last = torch.where(occupied, place, -1).amax(1)
        # Without a hole, first + last is length - 1, which is the middle too.
        corners.append(((first + last + 1) // 2 - side // 2).clamp(0, length - side))
    return torch.stack(corners, 1)


def windows(picture: Tensor, corners: Tensor, side: int) -> Tensor:
    """Cut the window at `corners` `[N, 2]` (top, left) out of each picture `[N, C, H, W]`: `[N, C, side, side]`."""
    channels, width = picture.shape[1], picture.shape[3]
    place = torch.arange(side, device=picture.device)
    rows, columns = (corner[:, None] + place for corner in corners.T)
    tall = picture.gather(2, rows[:, None, :, None].expand(-1, channels, -1, width))
    return tall.gather(3, columns[:, None, None, :].expand(-1, channels, side, -1))
