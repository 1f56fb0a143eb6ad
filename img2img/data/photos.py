"""Random crops of photos with low-resolution versions, as a pure function of (seed, index)."""

import math
from collections.abc import Sequence
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.utils.data import Dataset

from img2img.data.bicubic import low_and_high
from img2img.data.degradation import Bicubic, Degradation
from img2img.data.degradation_steps import sharpen
from img2img.data.order import ENDLESS, generator, shuffled_index
from img2img.runtime.image.resize import lanczos

Pixels = NDArray[np.uint8]

PHASES = 8
"""Number of low-resolution pixels by which a degraded picture may start before its crop.

They cover all positions in the block grid of a JPEG.
"""


class PhotoCrops(Dataset[dict[str, Tensor]]):
    """Endless training pairs of high- and low-resolution crops.

    Item `i` depends only on `seed` and `i`, so that a run resumes exactly at any point and any number of workers or
    processes sees the same data. Each pass over the photos is a new permutation. Crops have a random position and one
    of the eight symmetries of the square. MATLAB's bicubic (`data.bicubic`) or `degradation` makes the low-resolution
    crop.

    A degradation sees more of the photo than the crop, as far as the photo allows. This way, border effects and the
    position of JPEG blocks differ from crop to crop.

    Args:
        photos: uint8 RGB `[H, W, 3]` each, both sides >= `size`.
        size: side of the high-resolution crop in pixels, a multiple of `scale`.
        scale: how many times smaller the low-resolution crop is.
        seed: the run's seed.
        candidates: crops drawn per item; the one with the most detail is used. 1 draws uniformly.
        degradation: makes the low-resolution crops; None: MATLAB's bicubic.
        shrink: smallest and largest factor, 0 to 1, by which a photo is shrunk (Lanczos) before each crop. Shrunk
            photos are sharper and show edges and textures at other sizes (Real-ESRGAN's official
            `generate_multiscale_DF2K.py` does this beforehand, at 1/3 to 1). A small photo is shrunk only as far as
            `size` allows.

    Items: `{"low": uint8 [3, size / scale, size / scale], "high": uint8 [3, size, size]}`. If the degradation sharpens,
    also `sharp`, like `high`: the crop after unsharp masking, from which `low` is then made.
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

    def sources(self, index: int) -> list[tuple[Sequence[Any], int]]:
        """See `seen.Sourced`."""
        return [(self.photos, shuffled_index(self.seed, index, len(self.photos)))]

    def __getitem__(self, index: int) -> dict[str, Tensor]:
        photo = self.photos[shuffled_index(self.seed, index, len(self.photos))]
        rng = generator(self.seed, index)
        # Without shrinking, draws no extra random number, so that the crops of older runs do not change.
        side = self.size if self.shrink == (1.0, 1.0) else window_side(photo, self.size, rng.uniform(*self.shrink))
        top, left = self._place(photo, side, rng)
        if side > self.size:
            photo, top, left = self._shrink(photo, top, left, side)
        turns, flip = int(rng.integers(4)), bool(rng.integers(2))
        if self.degradation is None:
            low, high = low_and_high(photo, top, left, self.size, self.scale)
            crops = {"low": _rotate(low, turns, flip), "high": _rotate(high, turns, flip)}
        else:
            crops = self._degrade(self.degradation, photo, (top, left), (turns, flip), rng)
        return {name: torch.from_numpy(np.ascontiguousarray(crop.transpose(2, 0, 1))) for name, crop in crops.items()}

    def _place(self, photo: Pixels, side: int, rng: np.random.Generator) -> tuple[int, int]:
        free = np.array(photo.shape[:2]) - side + 1
        places = rng.integers(free, size=(self.candidates, 2))
        if self.candidates > 1:
            places = places[np.argmax([_detail(photo, top, left, side) for top, left in places])][None]
        return int(places[0, 0]), int(places[0, 1])

    def _shrink(self, photo: Pixels, top: int, left: int, side: int) -> tuple[Pixels, int, int]:
        """Shrink `photo` around the square of `side` pixels at (top, left), so that the square has the size of a crop.

        Returns the shrunk part and the position of the crop in it. The part includes all surroundings that the making
        of the low-resolution crop needs.
        """
        factor, margin = self.size / side, math.ceil(PHASES * self.scale * side / self.size)
        above, before = min(top, margin), min(left, margin)
        window = photo[top - above : top + side + margin, left - before : left + side + margin]
        height, width = (round(length * factor) for length in window.shape[:2])
        return lanczos(np.ascontiguousarray(window), (width, height)), int(above * factor), int(before * factor)

    def _degrade(
        self,
        degradation: Degradation,
        photo: Pixels,
        place: tuple[int, int],
        symmetry: tuple[int, bool],
        rng: np.random.Generator,
    ) -> dict[str, Pixels]:
        size, scale = self.size, self.scale
        before, after = [], []  # margins of the window in low-resolution pixels, rows and columns
        for start, side in zip(place, photo.shape, strict=False):
            phase = int(rng.integers(PHASES))
            before.append(min(phase, start // scale))
            after.append(min(PHASES - phase, (side - start - size) // scale))
        rows, columns = (
            slice(start - scale * margin, start + size + scale * behind)
            for start, margin, behind in zip(place, before, after, strict=True)
        )
        # Rotate before the degradation, because the JPEG of a camera is never rotated afterwards.
        window = np.ascontiguousarray(_rotate(photo[rows, columns], *symmetry))
        made = {"high": window}
        if degradation.sharpen:
            window = made["sharp"] = sharpen(window)
        made["low"] = degradation(window, rng)

        def crop(name: str, picture: Pixels) -> Pixels:
            unit, side = (1, size // scale) if name == "low" else (scale, size)
            upright = _rotate_back(picture, *symmetry)
            cut = upright[unit * before[0] :, unit * before[1] :][:side, :side]
            return _rotate(cut, *symmetry)

        return {name: crop(name, picture) for name, picture in made.items()}


def window_side(photo: Pixels, size: int, factor: float) -> int:
    """Return the side of the square in `photo` that becomes `size` pixels when shrunk by `factor`."""
    return min(max(round(size / factor), size), int(photo.shape[0]), int(photo.shape[1]))


def _detail(photo: Pixels, top: int, left: int, size: int) -> float:
    """Return the mean absolute difference of neighbouring green pixels, on every second row and column."""
    green = photo[top : top + size, left : left + size, 1].astype(np.int16)
    return float(np.abs(np.diff(green[::2])).mean() + np.abs(np.diff(green[:, ::2], axis=0)).mean())


def _rotate(crop: Pixels, turns: int, flip: bool) -> Pixels:
    rotated = np.rot90(crop, turns)
    return rotated[:, ::-1] if flip else rotated


def _rotate_back(crop: Pixels, turns: int, flip: bool) -> Pixels:
    """Undo `_rotate`."""
    return np.rot90(crop[:, ::-1] if flip else crop, -turns)
