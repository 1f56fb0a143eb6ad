"""Photos with holes to fill, as a pure function of (seed, index)."""

import math
from collections.abc import Sequence
from typing import Any

import cv2
import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.utils.data import Dataset

from img2img.data.masks import Masks
from img2img.data.order import ENDLESS, generator, shuffled_index
from img2img.data.photos import window_side

Pixels = NDArray[np.uint8]

HELD_OUT_SEED = 2019
"""Seed of the holes in held-out photos. Independent of the run's seed, so that runs can be compared."""


class HoleCrops(Dataset[dict[str, Tensor]]):
    """Endless crops with holes. Each pass over the photos is a new permutation.

    Item `i` depends only on `seed` and `i`, so that a run resumes exactly at any point and any number of workers or
    processes sees the same data.

    Args:
        photos: uint8 RGB `[H, W, 3]` each, both sides >= `size`.
        size: side of the crops in pixels.
        masks: draws the holes.
        seed: the run's seed.
        shrink: smallest and largest factor by which a photo is shrunk before the crop, 0 to 1. A smaller factor shows
            more of a large photo. Photos are never enlarged: a small one is shrunk only as far as `size` allows.
        flip: mirror half of the crops, left to right.

    Items: `{"image": uint8 [3, size, size], "mask": uint8 [1, size, size]}`; mask 1 = fill here, else 0. The pixels in
    the hole are the truth.
    """

    def __init__(
        self,
        photos: Sequence[Pixels],
        *,
        size: int,
        masks: Masks,
        seed: int,
        shrink: tuple[float, float] = (1.0, 1.0),
        flip: bool = True,
    ) -> None:
        self.photos = photos
        self.size = size
        self.masks = masks
        self.seed = seed
        self.shrink = shrink
        self.flip = flip

    def __len__(self) -> int:
        return ENDLESS

    def sources(self, index: int) -> list[tuple[Sequence[Any], int]]:
        """See `seen.Sourced`."""
        return [(self.photos, shuffled_index(self.seed, index, len(self.photos)))]

    def __getitem__(self, index: int) -> dict[str, Tensor]:
        photo = self.photos[shuffled_index(self.seed, index, len(self.photos))]
        rng = generator(self.seed, index)
        side = window_side(photo, self.size, rng.uniform(*self.shrink))
        top, left = (int(rng.integers(length - side + 1)) for length in photo.shape[:2])
        crop = _shrink(photo[top : top + side, left : left + side], self.size)
        if self.flip and rng.integers(2):
            crop = crop[:, ::-1]
        image = torch.from_numpy(np.ascontiguousarray(crop.transpose(2, 0, 1)))
        return {"image": image, "mask": torch.from_numpy(self.masks.draw(rng, self.size, self.size))[None]}


def held_out_crops(
    photos: Sequence[Pixels], masks: Masks, *, size: int, shrink: tuple[float, float] = (1.0, 1.0)
) -> list[tuple[Pixels, Pixels]]:
    """Return the middle of each photo, shrunk by the geometric mean of `shrink`, with a hole that is always the same.

    Returns:
        photo uint8 `[size, size, 3]` and mask uint8 0 or 1 `[size, size]` each.
    """
    pairs = []
    for index, photo in enumerate(photos):
        side = window_side(photo, size, math.sqrt(shrink[0] * shrink[1]))
        top, left = ((length - side) // 2 for length in photo.shape[:2])
        crop = _shrink(photo[top : top + side, left : left + side], size)
        pairs.append((crop, masks.draw(generator(HELD_OUT_SEED, index), size, size)))
    return pairs


def _shrink(picture: Pixels, size: int) -> Pixels:
    if picture.shape[0] == size:
        return np.ascontiguousarray(picture)
    return np.asarray(cv2.resize(np.ascontiguousarray(picture), (size, size), interpolation=cv2.INTER_AREA), np.uint8)
