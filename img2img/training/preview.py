"""Previews of what a network will see: contact sheets of degraded crops and of holes."""

from collections.abc import Callable, Sequence

import numpy as np
from numpy.typing import NDArray
from PIL import Image
from pydantic import Field, model_validator

from img2img.data import degradation
from img2img.data.degradation import DegradationConfig
from img2img.data.degradation_steps import sharpen
from img2img.data.folders import Reading
from img2img.data.holes import HoleCrops
from img2img.data.masks import MaskConfig, Masks
from img2img.data.photos import PhotoCrops
from img2img.data.ranges import Side
from img2img.methods.config import RunConfig
from img2img.section import Section
from img2img.training.sheets import contact_sheet

Pixels = NDArray[np.uint8]


class Data(Section):
    """Photos, how they are made small, and the holes to cut into them."""

    crop: Side = Field(default=256, description="side of the crops in pixels")
    degradation: DegradationConfig = Field(default=DegradationConfig(), description="how photos are made small")
    masks: MaskConfig = Field(default=MaskConfig(), description="holes")


class PreviewConfig(RunConfig):
    """The part of a training configuration that a preview needs, with the same keys."""

    method: str = Field(default="degrade", description="method")
    scale: int = Field(default=4, ge=1, le=64, description="upscaling factor")
    data: Data = Field(default=Data(), description="photos")

    @model_validator(mode="after")
    def _fits(self) -> "PreviewConfig":
        if self.data.crop % self.scale:
            raise ValueError(f"data.crop = {self.data.crop} is not a multiple of scale = {self.scale}")
        return self


def degradation_sheet(photos: Sequence[Pixels], settings: PreviewConfig, *, versions: int) -> Image.Image:
    """Draw a row for each photo: a crop, the sharpened crop if that is the target, and degraded versions of it.

    The low-resolution versions are enlarged without smoothing.
    """
    degrade = degradation.build(settings.data.degradation, settings.scale)
    crops = PhotoCrops(photos, size=settings.data.crop, scale=settings.scale, seed=settings.seed, candidates=3)

    def seen(photo: Pixels, rng: np.random.Generator) -> Pixels:
        return degrade(photo, rng).repeat(settings.scale, axis=0).repeat(settings.scale, axis=1)

    rows = []
    for row in range(len(photos)):
        high = _picture(crops, "high", row)
        targets = [high, sharpen(high)] if degrade.sharpen else [high]
        rows.append(targets + _versions(seen, targets[-1], (settings.seed, row), versions))
    columns = ["truth", "sharpened"] if degrade.sharpen else ["truth"]
    return contact_sheet(columns + _names(versions), rows)


def mask_sheet(
    photos: Sequence[Pixels], settings: PreviewConfig, *, versions: int, reading: Reading = Reading()
) -> Image.Image:
    """Draw a row for each photo: a crop, and versions of it with a white hole. `reading`: see `Masks`.

    Raises:
        DataError: the mask files cannot be used.
    """
    masks, size = Masks(settings.data.masks, reading), settings.data.crop
    crops = HoleCrops(photos, size=size, masks=masks, seed=settings.seed)

    def seen(photo: Pixels, rng: np.random.Generator) -> Pixels:
        return np.where(masks.draw(rng, size, size)[:, :, None] == 1, np.uint8(255), photo)

    rows = []
    for row in range(len(photos)):
        photo = _picture(crops, "image", row)
        rows.append([photo, *_versions(seen, photo, (settings.seed, row), versions)])
    return contact_sheet(["truth", *_names(versions)], rows)


def _picture(crops: PhotoCrops | HoleCrops, name: str, index: int) -> Pixels:
    return np.ascontiguousarray(crops[index][name].permute(1, 2, 0).numpy())


def _versions(
    seen: Callable[[Pixels, np.random.Generator], Pixels], photo: Pixels, seed: tuple[int, int], count: int
) -> list[Pixels]:
    return [seen(photo, np.random.default_rng((*seed, version))) for version in range(count)]


def _names(versions: int) -> list[str]:
    return [f"seen {version + 1}" for version in range(versions)]
