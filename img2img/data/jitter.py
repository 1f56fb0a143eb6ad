"""Resize and random crop, the jitter of pix2pix and CycleGAN.

Pictures are resized to `load` pixels. A random window of `crop` pixels is cut out and randomly mirrored (Isola et al.
2017, appendix 6.2: 286 to 256).
"""

from typing import Literal, NamedTuple, Self

import numpy as np
import torch
from numpy.typing import NDArray
from PIL import Image
from pydantic import Field, model_validator
from torch import Tensor

from img2img.data.augment import AugmentConfig
from img2img.data.cache import CachedData
from img2img.data.ranges import Side, SideOrOff
from img2img.errors import DataError

Pixels = NDArray[np.uint8]
Aspect = Literal["squash", "keep"]


class JitterSection(CachedData):
    """Base of data sections with resize and crop."""

    load: SideOrOff = Field(
        default=286, description="side in pixels that pictures are resized to; 0: crop at the original size"
    )
    crop: Side = Field(default=256, description="side of the random crop, in pixels")
    flip: bool = Field(default=True, description="mirror half of the crops, left to right")
    aspect: Aspect = Field(
        default="squash", description="squash: resize to a square, as published; keep: resize the shorter side"
    )
    augment: AugmentConfig = AugmentConfig()

    @model_validator(mode="after")
    def _crop_fits(self) -> Self:
        if 0 < self.load < self.crop:
            raise ValueError(f"load = {self.load} must not be smaller than crop = {self.crop}")
        return self


class Window(NamedTuple):
    """A square window in a picture."""

    top: int
    left: int
    size: int
    flip: bool

    @classmethod
    def draw(cls, rng: np.random.Generator, picture: Pixels, size: int, *, flip: bool) -> Self:
        """Draw a random window of `picture`. If `flip`, half of all windows are mirrored."""
        height, width = picture.shape[:2]
        top, left = int(rng.integers(height - size + 1)), int(rng.integers(width - size + 1))
        return cls(top, left, size, flip and bool(rng.integers(2)))

    @classmethod
    def centre(cls, picture: Pixels, size: int) -> Self:
        height, width = picture.shape[:2]
        return cls((height - size) // 2, (width - size) // 2, size, flip=False)

    def cut(self, picture: Pixels) -> Pixels:
        """Cut the window out of `picture`: a view, `[H, W, C]` to `[size, size, C]`."""
        part = picture[self.top : self.top + self.size, self.left : self.left + self.size]
        return part[:, ::-1] if self.flip else part


def to_tensor(picture: Pixels) -> Tensor:
    """Copy `picture`, uint8 `[H, W, C]`, to a tensor `[C, H, W]`."""
    return torch.from_numpy(np.array(picture.transpose(2, 0, 1), order="C"))


def resized_size(picture: Pixels, load: int, aspect: Aspect) -> tuple[int, int]:
    """Return height and width of `picture` after resizing to `load`. `load` 0 keeps the size."""
    height, width = picture.shape[:2]
    if load == 0:
        return height, width
    if aspect == "squash":
        return load, load
    short = min(height, width)
    return max(round(height * load / short), load), max(round(width * load / short), load)


def resize(picture: Pixels, height: int, width: int, *, labels: bool = False) -> Pixels:
    """Resize `picture`, uint8 `[H, W, 1 or 3]`: nearest for label maps, otherwise Pillow's antialiased bicubic."""
    if picture.shape[:2] == (height, width):
        return picture
    resample = Image.Resampling.NEAREST if labels else Image.Resampling.BICUBIC
    image = Image.fromarray(picture[:, :, 0] if picture.shape[2] == 1 else picture)
    return np.asarray(image.resize((width, height), resample)).reshape(height, width, -1)


def to_channels(picture: Pixels, count: int) -> Pixels:
    """Return RGB `[H, W, 3]` unchanged (`count` 3) or as luma `[H, W, 1]` (`count` 1, ITU-R BT.601)."""
    return picture if count == 3 else np.asarray(Image.fromarray(picture).convert("L"))[:, :, None]


def frame_size(picture: Pixels, settings: JitterSection, *, name: object) -> tuple[int, int]:
    """Return the height and width to which `picture` is resized before every crop.

    Raises:
        DataError: the picture is too small to be cropped at its original size; `name` identifies it.
    """
    height, width = resized_size(picture, settings.load, settings.aspect)
    if min(height, width) < settings.crop:
        raise DataError(f"{name}: {width} x {height} pixels is smaller than data.crop = {settings.crop}; set data.load")
    return height, width


def whole_frame_size(picture: Pixels, settings: JitterSection, *, name: object) -> tuple[int, int]:
    """Like `frame_size`, for validation: shows the whole picture instead of a crop, as far as its shape allows."""
    frame_size(picture, settings, name=name)
    return resized_size(picture, settings.load and settings.crop, settings.aspect)


def crop_centre(picture: Pixels, size: int) -> Pixels:
    """Copy the square of `size` pixels in the middle of `picture`."""
    return np.array(Window.centre(picture, size).cut(picture))
