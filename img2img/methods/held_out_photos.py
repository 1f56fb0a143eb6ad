"""Held-out photos for the validation of a super-resolution network: cropped, degraded, and laid out on a sheet."""

from collections.abc import Sequence

import numpy as np
import torch
from numpy.typing import NDArray
from PIL import Image
from torch import Tensor

from img2img.data.degradation import Degradation
from img2img.data.degradation_steps import sharpen
from img2img.data.jpeg_noise import JpegNoise, standard_faults

Pixels = NDArray[np.uint8]

WINDOW = 256
"""Side in pixels of the centre of each held-out photo that a validation measures."""


def centre(photo: Pixels, multiple: int) -> Pixels:
    """Return the middle of `photo`: at most WINDOW pixels on a side, and sides that are multiples of `multiple`."""
    height, width = (min(side, WINDOW) // multiple * multiple for side in photo.shape[:2])
    top, left = (photo.shape[0] - height) // 2, (photo.shape[1] - width) // 2
    return photo[top : top + height, left : left + width]


def degraded(
    photos: Sequence[Pixels], degrade: Degradation, seed: int
) -> tuple[list[tuple[Pixels, Pixels]], list[str]]:
    """Degrade held-out photos, always in the same way. Returns them with their targets, and the names of the faults.

    With `jpeg-noise`, each photo gets each of the standard faults. The first rows show different photos and faults.
    """
    if isinstance(degrade, JpegNoise):
        faults, places = list(standard_faults(degrade.config).items()), range(len(photos))
        chosen = [(place, *faults[(place + turn) % len(faults)]) for turn in range(len(faults)) for place in places]
        pairs = [(add(photos[at], np.random.default_rng((seed, at))), photos[at]) for at, _, add in chosen]
        return pairs, [name for _, name, _ in chosen]
    truths = [sharpen(photo) if degrade.sharpen else photo for photo in photos]
    return [(degrade(truth, np.random.default_rng((seed, place))), truth) for place, truth in enumerate(truths)], []


def to_tensor(picture: Pixels) -> Tensor:
    """Convert uint8 `[H, W, 3]` to float `[1, 3, H, W]`, 0..1."""
    return torch.from_numpy(np.ascontiguousarray(picture)).permute(2, 0, 1)[None].float().div(255)


def to_picture(batch: Tensor) -> Pixels:
    """Convert the first picture of a batch `[N, 3, H, W]`, 0..1, to uint8 `[H, W, 3]`, clamped and rounded."""
    values = batch[0].float().clamp(0, 1).mul(255).round().byte()
    return np.asarray(values.permute(1, 2, 0).cpu().numpy())


def enlarged(low: Pixels, shape: tuple[int, ...]) -> list[Pixels]:
    """Return `low` at the height and width of `shape`: as it is (nearest), and enlarged by bicubic."""
    size = (shape[1], shape[0])
    picture = Image.fromarray(np.ascontiguousarray(low))
    return [np.asarray(picture.resize(size, how)) for how in (Image.Resampling.NEAREST, Image.Resampling.BICUBIC)]
