"""Resize and crop, the jitter of pix2pix and CycleGAN: pictures are resized to `load` pixels, and a window of `crop`
pixels is cut out at random and mirrored at random (Isola et al. 2017, appendix 6.2: 286 to 256)."""

from typing import Literal, NamedTuple, Self

import numpy as np
import torch
from numpy.typing import NDArray
from PIL import Image
from pydantic import Field, NonNegativeInt, PositiveInt, model_validator
from torch import Tensor

from img2img.data.augment import AugmentConfig
from img2img.data.cache import CachedData
from img2img.errors import DataError

Pixels = NDArray[np.uint8]
Aspect = Literal["squash", "keep"]


class JitterSection(CachedData):
    """The settings of resize and crop, for a data section to build on."""

    load: NonNegativeInt = Field(
        default=286, description="pixels that pictures are resized to; 0: crops at their own size"
    )
    crop: PositiveInt = Field(default=256, description="side of the random crop of it, in pixels")
    flip: bool = Field(default=True, description="mirror half of the crops, left to right")
    aspect: Aspect = Field(
        default="squash", description="squash: resize to a square, as published; keep: resize the shorter side"
    )
    augment: AugmentConfig = AugmentConfig()

    @model_validator(mode="after")
    def _crop_fits(self) -> Self:
        if 0 < self.load < self.crop:
            raise ValueError(f"load = {self.load} is smaller than crop = {self.crop}")
        return self


class Window(NamedTuple):
    """A square cut out of a picture."""

    top: int
    left: int
    size: int
    flip: bool

    @classmethod
    def draw(cls, rng: np.random.Generator, picture: Pixels, size: int, *, flip: bool) -> Self:
        """A random window of `picture`, mirrored in half of the cases where `flip`."""
        height, width = picture.shape[:2]
        top, left = int(rng.integers(height - size + 1)), int(rng.integers(width - size + 1))
        return cls(top, left, size, flip and bool(rng.integers(2)))

    @classmethod
    def centre(cls, picture: Pixels, size: int) -> Self:
        height, width = picture.shape[:2]
        return cls((height - size) // 2, (width - size) // 2, size, flip=False)

    def cut(self, picture: Pixels) -> Pixels:
        """A view of `picture`, `[H, W, C]` to `[size, size, C]`."""
        part = picture[self.top : self.top + self.size, self.left : self.left + self.size]
        return part[:, ::-1] if self.flip else part


def tensor(picture: Pixels) -> Tensor:
    """`picture`, uint8 `[H, W, C]`, as a tensor `[C, H, W]` with memory of its own."""
    return torch.from_numpy(np.array(picture.transpose(2, 0, 1), order="C"))


def loaded_size(picture: Pixels, load: int, aspect: Aspect) -> tuple[int, int]:
    """Height and width of `picture` after it is resized to `load` (0: as it is)."""
    height, width = picture.shape[:2]
    if load == 0:
        return height, width
    if aspect == "squash":
        return load, load
    short = min(height, width)
    return max(round(height * load / short), load), max(round(width * load / short), load)


def resize(picture: Pixels, height: int, width: int, *, labels: bool = False) -> Pixels:
    """`picture`, uint8 `[H, W, 1 or 3]`, resized: nearest for label maps, otherwise bicubic, antialiased (Pillow's)."""
    if picture.shape[:2] == (height, width):
        return picture
    how = Image.Resampling.NEAREST if labels else Image.Resampling.BICUBIC
    image = Image.fromarray(picture[:, :, 0] if picture.shape[2] == 1 else picture)
    return np.asarray(image.resize((width, height), how)).reshape(height, width, -1)


def channels(picture: Pixels, count: int) -> Pixels:
    """RGB `[H, W, 3]` as it is (`count` 3) or as luma `[H, W, 1]` (ITU-R BT.601)."""
    return picture if count == 3 else np.asarray(Image.fromarray(picture).convert("L"))[:, :, None]


def frame(picture: Pixels, settings: JitterSection, *, name: object) -> tuple[int, int]:
    """Height and width to which `picture` is resized once, and from which every crop is cut.

    Raises:
        DataError: it is too small to be cropped at its own size; `name` says which.
    """
    height, width = loaded_size(picture, settings.load, settings.aspect)
    if min(height, width) < settings.crop:
        raise DataError(f"{name}: {width} x {height} pixels, smaller than data.crop = {settings.crop}; set data.load")
    return height, width


def whole_frame(picture: Pixels, settings: JitterSection, *, name: object) -> tuple[int, int]:
    """`frame` as a validation takes it: what is seen is the whole picture, where the shape allows, and not a crop."""
    frame(picture, settings, name=name)
    return loaded_size(picture, settings.load and settings.crop, settings.aspect)


def middle(picture: Pixels, size: int) -> Pixels:
    """The square of `size` pixels in the middle of `picture`, with memory of its own."""
    return np.array(Window.centre(picture, size).cut(picture))
