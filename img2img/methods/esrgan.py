"""ESRGAN (Wang et al. 2018): super-resolution. First cut: the fidelity stage, from which its adversarial stage starts.

Fidelity stage ("PSNR-oriented", section 4.1): photos are shrunk by MATLAB's bicubic, the generator restores them,
and the objective is the distance to the truth, L1 by default. No discriminator takes part.
"""

from collections.abc import Sequence
from pathlib import Path
from typing import Literal

import numpy as np
import torch
from numpy.typing import NDArray
from PIL import Image
from pydantic import Field, PositiveInt, model_validator
from torch import Tensor, nn
from torch.utils.data import Dataset

from img2img import networks as built_networks
from img2img import objectives
from img2img.data import folders
from img2img.data.bicubic import imresize
from img2img.data.photos import PhotoCrops
from img2img.errors import ConfigError
from img2img.evaluation.metrics import luma, psnr, ssim
from img2img.methods.config import NetworkConfig, OptimiserConfig, RunConfig, ScheduleConfig
from img2img.methods.method import Batch, Exportable, Method, Networks, Optimised, Step, Validation
from img2img.runtime.card import Card
from img2img.section import Section

WINDOW = 256
"""Side in pixels of the centre of each held-out photo that a validation looks at."""


class PhotoData(Section):
    folders: tuple[Path, ...] = Field(min_length=1, description="folders of photos; searched with their subfolders")
    validation: tuple[Path, ...] = Field(default=(), description="held-out photos; empty: a twentieth of each folder")
    crop: PositiveInt = Field(default=144, description="side of the high-resolution crop in pixels")
    candidates: PositiveInt = Field(default=3, description="crops drawn, of which the one with most detail is used")


class Config(RunConfig):
    """The fidelity recipe: a small network that a CPU can train and run."""

    method: Literal["esrgan"] = Field(default="esrgan", description="method")
    stage: Literal["fidelity"] = Field(default="fidelity", description="part of the method that this run trains")
    scale: PositiveInt = Field(default=4, description="upscaling factor")
    data: PhotoData = Field(description="photos")
    generator: NetworkConfig = Field(
        default=NetworkConfig(name="collapsible-compact", options={"features": 48, "convs": 10, "expand": 256}),
        description="generator; its scale is set from `scale`",
    )
    objectives: dict[str, float] = Field(default={"l1": 1.0}, description="objective to weight")
    batch: PositiveInt = Field(default=8, description="crops a step, over all processes")
    steps: PositiveInt = Field(default=20_000, description="training steps")
    optimiser: OptimiserConfig = OptimiserConfig(rate=1e-3, clip=0.5)
    schedule: ScheduleConfig = ScheduleConfig(warmup=100)
    validate_every: PositiveInt = Field(default=1000, description="steps between two validations")

    @model_validator(mode="after")
    def _fits(self) -> "Config":
        if self.data.crop % self.scale:
            raise ValueError(f"data.crop = {self.data.crop} is no multiple of scale = {self.scale}")
        return self


class ESRGAN(Method):
    """See the module. Batches: `low` uint8 `[N, 3, h, w]`, `high` uint8 `[N, 3, h * scale, w * scale]`."""

    recipe = Config
    headline = "psnr_y"

    def __init__(self, config: Config) -> None:
        self.config = config
        generator = built_networks.build(config.generator.name, **{**config.generator.options, "scale": config.scale})
        self.multiple: int = getattr(generator, "multiple", 1)  # networks with strides or unshuffling say so
        if config.data.crop % (config.scale * self.multiple):
            raise ConfigError(f"data.crop: {config.generator.name} needs a multiple of {config.scale * self.multiple}")
        self.networks = {"generator": generator}
        self.optimised = {"generator": Optimised(("generator",), config.optimiser)}
        self.averaged = ("generator",)
        self.objectives = {name: (objectives.build(name), weight) for name, weight in config.objectives.items()}
        if not any(weight > 0 for weight in config.objectives.values()):
            raise ConfigError("objectives: none has a weight above 0, there is nothing to learn from")
        self.notes: list[str] = []

    def load(self) -> Dataset[dict[str, Tensor]]:
        data = self.config.data
        paths = folders.find(data.folders)
        if data.validation:
            held = folders.find(data.validation)
        else:
            paths, held = folders.hold_out(paths)
        photos = folders.Photos.read(paths, smallest=data.crop)
        held_out = folders.Photos.read(held[:12], smallest=8 * self.config.scale)
        self.validation = [_centre(photo, self.config.scale * self.multiple) for photo in held_out.pixels]
        pixels = sum(photo.shape[0] * photo.shape[1] for photo in photos.pixels)
        self.notes.append(
            f"{len(photos.paths)} photos to train on ({pixels / 1e6:.1f} megapixels), {len(self.validation)} held out"
        )
        if photos.small:
            self.notes.append(f"{len(photos.small)} photos are smaller than the {data.crop} px crop and passed over")
        return PhotoCrops(
            photos.pixels,
            size=data.crop,
            scale=self.config.scale,
            seed=self.config.seed,
            candidates=data.candidates,
        )

    def step(self, networks: Networks, batches: Sequence[Batch]) -> Step:
        (batch,) = batches
        low, high = (batch[name].float().div(255) for name in ("low", "high"))
        result = networks["generator"](low)
        terms = {name: objective(result, high) for name, (objective, _) in self.objectives.items()}
        loss = torch.stack([self.objectives[name][1] * term for name, term in terms.items()]).sum()
        yield "generator", loss
        return {"loss": loss.detach()} | ({n: t.detach() for n, t in terms.items()} if len(terms) > 1 else {})

    @torch.no_grad()
    def validate(self, networks: Networks) -> Validation:
        generator, scale = networks["generator"], self.config.scale
        device = next(generator.parameters()).device
        figures: dict[str, list[float]] = {"psnr_y": [], "ssim_y": []}
        rows: list[list[NDArray[np.uint8]]] = []
        for truth in self.validation:
            low = imresize(truth, 1 / scale) if scale > 1 else truth
            tensor = torch.from_numpy(low).permute(2, 0, 1)[None].to(device).float().div(255)
            result = generator(tensor)[0].float().clamp(0, 1).mul(255).round().byte().permute(1, 2, 0).cpu().numpy()
            figures["psnr_y"].append(psnr(luma(result), luma(truth), border=scale))
            figures["ssim_y"].append(ssim(luma(result), luma(truth), border=scale))
            if len(rows) < 4:
                rows.append([*_enlarged(low, truth.shape), result, truth])
        means = {name: float(np.mean(values)) for name, values in figures.items()}
        return Validation(means, ["low", "bicubic", "ours", "truth"], rows)

    def models(self, networks: Networks) -> list[Exportable]:
        generator = networks["generator"]
        # Networks that are trained in another form than they run in say how to fold themselves.
        network: nn.Module = generator.folded() if hasattr(generator, "folded") else generator  # type: ignore[operator]
        card = Card(
            name=self.config.card.name or f"upscale-x{self.config.scale}",
            task="upscale",
            method=f"esrgan, {self.config.stage} stage",
            scale=self.config.scale,
            multiple=self.multiple,
            minimum=1,
            parameters=sum(parameter.numel() for parameter in network.parameters()),
            licence=self.config.card.licence or "",
            trained_on=self.config.card.trained_on or tuple(folder.name for folder in self.config.data.folders),
        )
        return [Exportable(network, card)]


def _centre(photo: NDArray[np.uint8], multiple: int) -> NDArray[np.uint8]:
    """The middle of `photo`, at most WINDOW on a side, sides multiples of `multiple`."""
    height, width = (min(side, WINDOW) // multiple * multiple for side in photo.shape[:2])
    top, left = (photo.shape[0] - height) // 2, (photo.shape[1] - width) // 2
    return photo[top : top + height, left : left + width]


def _enlarged(low: NDArray[np.uint8], shape: tuple[int, ...]) -> list[NDArray[np.uint8]]:
    size = (shape[1], shape[0])
    picture = Image.fromarray(low)
    return [np.asarray(picture.resize(size, how)) for how in (Image.Resampling.NEAREST, Image.Resampling.BICUBIC)]
