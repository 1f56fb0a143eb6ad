"""Random crops of photos with their low-resolution twins, as a pure function of (seed, index)."""

from functools import lru_cache

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.utils.data import Dataset

from img2img.data.bicubic import low_and_high


class PhotoCrops(Dataset[dict[str, Tensor]]):
    """Endless training pairs. Item `i` depends on `seed` and `i` only, so a run resumes exactly anywhere
    and any number of workers or processes sees the same data.

    Each pass over the photos is a new permutation. A crop is placed at random, flipped and turned at random
    (the eight symmetries of the square), and shrunk by MATLAB's bicubic (`data.bicubic`).

    Args:
        photos: uint8 RGB `[H, W, 3]` each, both sides >= `size`.
        size: side of the high-resolution crop in pixels, a multiple of `scale`.
        scale: how many times smaller the low-resolution crop is.
        seed: the run's seed.
        candidates: crops drawn for each item, of which the one with the most detail is kept; 1 draws uniformly.

    Items: `{"low": uint8 [3, size / scale, size / scale], "high": uint8 [3, size, size]}`.
    """

    def __init__(
        self, photos: list[NDArray[np.uint8]], *, size: int, scale: int, seed: int, candidates: int = 1
    ) -> None:
        self.photos = photos
        self.size = size
        self.scale = scale
        self.seed = seed
        self.candidates = candidates
        self._permutation = lru_cache(maxsize=2)(self._permute)

    def __len__(self) -> int:
        return 2**62

    def _permute(self, epoch: int) -> NDArray[np.int64]:
        return np.random.default_rng((self.seed, epoch, 1)).permutation(len(self.photos))

    def __getitem__(self, index: int) -> dict[str, Tensor]:
        epoch, place = divmod(index, len(self.photos))
        photo = self.photos[self._permutation(epoch)[place]]
        rng = np.random.default_rng((self.seed, index, 0))
        top, left = self._place(photo, rng)
        low, high = low_and_high(photo, top, left, self.size, self.scale)
        turn, flip = int(rng.integers(4)), int(rng.integers(2))
        return {name: _tensor(crop, turn, flip) for name, crop in (("low", low), ("high", high))}

    def _place(self, photo: NDArray[np.uint8], rng: np.random.Generator) -> tuple[int, int]:
        free = np.array(photo.shape[:2]) - self.size + 1
        places = rng.integers(free, size=(self.candidates, 2))
        if self.candidates > 1:
            places = places[np.argmax([_detail(photo, top, left, self.size) for top, left in places])][None]
        return int(places[0, 0]), int(places[0, 1])


def _detail(photo: NDArray[np.uint8], top: int, left: int, size: int) -> float:
    """Mean absolute difference of neighbouring green pixels, on every second row and column."""
    green = photo[top : top + size, left : left + size, 1].astype(np.int16)
    return float(np.abs(np.diff(green[::2])).mean() + np.abs(np.diff(green[:, ::2], axis=0)).mean())


def _tensor(crop: NDArray[np.uint8], turn: int, flip: int) -> Tensor:
    turned = np.rot90(crop, turn)
    if flip:
        turned = turned[:, ::-1]
    return torch.from_numpy(np.ascontiguousarray(turned.transpose(2, 0, 1)))
