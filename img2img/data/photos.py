"""Random crops of photos with their low-resolution twins, as a pure function of (seed, index)."""

import math
from collections.abc import Sequence

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.utils.data import Dataset

from img2img.data.bicubic import low_and_high
from img2img.data.degradation import Bicubic, Degradation
from img2img.data.degradation_steps import sharpened
from img2img.data.order import ENDLESS, generator, shuffled
from img2img.runtime.image.resize import lanczos

Pixels = NDArray[np.uint8]

PHASES = 8
"""Low-resolution pixels that a degraded picture may begin before its crop: all places in a JPEG's grid."""


class PhotoCrops(Dataset[dict[str, Tensor]]):
    """Endless training pairs. Item `i` depends on `seed` and `i` only, so a run resumes exactly anywhere
    and any number of workers or processes sees the same data.

    Each pass over the photos is a new permutation. A crop is placed at random, flipped and turned at random
    (the eight symmetries of the square), and made small by MATLAB's bicubic (`data.bicubic`) or by `degradation`.

    A degradation sees more of the photo than the crop, as far as the photo goes, so that what it does at the border of
    a picture, and where the blocks of its JPEG lie, differs from crop to crop.

    Args:
        photos: uint8 RGB `[H, W, 3]` each, both sides >= `size`.
        size: side of the high-resolution crop in pixels, a multiple of `scale`.
        scale: how many times smaller the low-resolution crop is.
        seed: the run's seed.
        candidates: crops drawn for each item, of which the one with the most detail is kept; 1 draws uniformly.
        degradation: makes the low-resolution crops; None: MATLAB's bicubic.
        shrink: smallest and largest factor that a photo is shrunk by (Lanczos) before it is cropped, 0 to 1, drawn for
            each crop: photos are sharper for it, and show edges and textures of other sizes (Real-ESRGAN's official
            `generate_multiscale_DF2K.py` does it beforehand, at 1/3 to 1). A small photo is shrunk as far as `size`
            allows.

    Items: `{"low": uint8 [3, size / scale, size / scale], "high": uint8 [3, size, size]}`. Where the degradation is one
    that sharpens, also `sharp` like `high`: the crop after unsharp masking, of which `low` is then made.
    """

    def __init__(
        self,
        photos: Sequence[Pixels],
        *,
        size: int,
        scale: int,
        seed: int,
        candidates: int = 1,
        degradation: Degradation | None = None,
        shrink: tuple[float, float] = (1.0, 1.0),
    ) -> None:
        self.photos = photos
        self.size = size
        self.scale = scale
        self.seed = seed
        self.candidates = candidates
        self.shrink = shrink
        self.degradation = None if isinstance(degradation, Bicubic) else degradation

    def __len__(self) -> int:
        return ENDLESS

    def __getitem__(self, index: int) -> dict[str, Tensor]:
        photo = self.photos[shuffled(self.seed, index, len(self.photos))]
        rng = generator(self.seed, index)
        # Without shrinking nothing more is drawn: the crops of older runs stay what they were.
        side = self.size if self.shrink == (1.0, 1.0) else seen(photo, self.size, rng.uniform(*self.shrink))
        top, left = self._place(photo, side, rng)
        if side > self.size:
            photo, top, left = self._shrunk(photo, top, left, side)
        turn, flip = int(rng.integers(4)), bool(rng.integers(2))
        if self.degradation is None:
            low, high = low_and_high(photo, top, left, self.size, self.scale)
            crops = {"low": _turned(low, turn, flip), "high": _turned(high, turn, flip)}
        else:
            crops = self._degraded(self.degradation, photo, (top, left), (turn, flip), rng)
        return {name: torch.from_numpy(np.ascontiguousarray(crop.transpose(2, 0, 1))) for name, crop in crops.items()}

    def _place(self, photo: Pixels, side: int, rng: np.random.Generator) -> tuple[int, int]:
        free = np.array(photo.shape[:2]) - side + 1
        places = rng.integers(free, size=(self.candidates, 2))
        if self.candidates > 1:
            places = places[np.argmax([_detail(photo, top, left, side) for top, left in places])][None]
        return int(places[0, 0]), int(places[0, 1])

    def _shrunk(self, photo: Pixels, top: int, left: int, side: int) -> tuple[Pixels, int, int]:
        """The part of `photo` around the square of `side` pixels at (top, left), shrunk so that the square is a crop;
        and where in it the crop begins. It reaches as far as the making of the low-resolution crop looks."""
        factor, margin = self.size / side, math.ceil(PHASES * self.scale * side / self.size)
        above, before = min(top, margin), min(left, margin)
        window = photo[top - above : top + side + margin, left - before : left + side + margin]
        height, width = (round(length * factor) for length in window.shape[:2])
        return lanczos(np.ascontiguousarray(window), (width, height)), int(above * factor), int(before * factor)

    def _degraded(
        self,
        degradation: Degradation,
        photo: Pixels,
        place: tuple[int, int],
        turns: tuple[int, bool],
        rng: np.random.Generator,
    ) -> dict[str, Pixels]:
        size, scale = self.size, self.scale
        before, after = [], []  # the window's margins in low-resolution pixels, rows and columns
        for start, side in zip(place, photo.shape, strict=False):
            phase = int(rng.integers(PHASES))
            before.append(min(phase, start // scale))
            after.append(min(PHASES - phase, (side - start - size) // scale))
        rows, columns = (
            slice(start - scale * margin, start + size + scale * behind)
            for start, margin, behind in zip(place, before, after, strict=True)
        )
        # Turned before it is degraded: a camera's JPEG is never turned afterwards.
        window = np.ascontiguousarray(_turned(photo[rows, columns], *turns))
        made = {"high": window}
        if degradation.sharpen:
            window = made["sharp"] = sharpened(window)
        made["low"] = degradation(window, rng)

        def crop(picture: Pixels, unit: int, side: int) -> Pixels:
            upright = _upright(picture, *turns)
            cut = upright[unit * before[0] :, unit * before[1] :][:side, :side]
            return _turned(cut, *turns)

        return {
            name: crop(picture, *((1, size // scale) if name == "low" else (scale, size)))
            for name, picture in made.items()
        }


def seen(photo: Pixels, size: int, factor: float) -> int:
    """Side of the square of `photo` that becomes `size` pixels when it is shrunk by `factor`."""
    return min(max(round(size / factor), size), int(photo.shape[0]), int(photo.shape[1]))


def _detail(photo: Pixels, top: int, left: int, size: int) -> float:
    """Mean absolute difference of neighbouring green pixels, on every second row and column."""
    green = photo[top : top + size, left : left + size, 1].astype(np.int16)
    return float(np.abs(np.diff(green[::2])).mean() + np.abs(np.diff(green[:, ::2], axis=0)).mean())


def _turned(crop: Pixels, turn: int, flip: bool) -> Pixels:
    turned = np.rot90(crop, turn)
    return turned[:, ::-1] if flip else turned


def _upright(crop: Pixels, turn: int, flip: bool) -> Pixels:
    """The inverse of `_turned`."""
    return np.rot90(crop[:, ::-1] if flip else crop, -turn)
