"""Sliced Wasserstein distance: how far apart two sets of pictures are, without a feature network."""

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray
from PIL import Image

Picture = NDArray[np.uint8]

PATCH = 7
PATCHES = 128
"""A picture and level."""
DIRECTIONS = 256
COARSEST = 16
"""Side in pixels below which there is no further level."""


def sliced_wasserstein(a: Sequence[Picture], b: Sequence[Picture], *, seed: int = 0) -> float:
    """Mean sliced Wasserstein distance of 7x7 patches over the levels of a Laplacian pyramid; 0 for equal sets.

    Karras et al. 2018, section 5: patches of each level are normalised by mean and deviation of each channel (here of
    the set `b`, the real one), projected on random directions, sorted, and compared. Patches are drawn with `seed`
    and from the same places in both sets where they have as many pictures, so that equal sets give 0.

    Args:
        a, b: uint8 RGB `[H, W, 3]`, sides of 16 or more; as many of the larger set are used as the smaller one has.

    Raises:
        ValueError: a set is empty.
    """
    if not a or not b:
        raise ValueError("a set without pictures has no distance")
    count = min(len(a), len(b))
    pyramids = [[_pyramid(picture) for picture in one[:count]] for one in (a, b)]
    levels = min(len(pyramid) for one in pyramids for pyramid in one)
    distances = []
    for level in range(levels):
        rng = np.random.default_rng((seed, level))
        places = rng.random((count, PATCHES, 2))
        first, second = (
            np.concatenate([_patches(p[level], at) for p, at in zip(one, places, strict=True)]) for one in pyramids
        )
        mean, deviation = second.mean((0, 1)), second.std((0, 1)) + 1e-8
        directions = rng.standard_normal((PATCH * PATCH * 3, DIRECTIONS))
        directions /= np.linalg.norm(directions, axis=0)
        projected = [
            np.sort(((one - mean) / deviation).reshape(len(one), -1) @ directions, axis=0) for one in (first, second)
        ]
        distances.append(np.abs(projected[0] - projected[1]).mean())
    return float(np.mean(distances))


def _pyramid(picture: Picture) -> list[NDArray[np.float32]]:
    """Differences of each level to the one below it, finest first; the last is the coarsest level itself."""
    levels = []
    image = Image.fromarray(picture)
    while min(image.size) >= 2 * COARSEST:
        small = image.resize((image.width // 2, image.height // 2), Image.Resampling.BOX)
        again = small.resize(image.size, Image.Resampling.BILINEAR)
        levels.append(np.asarray(image, np.float32) - np.asarray(again, np.float32))
        image = small
    return [*levels, np.asarray(image, np.float32)]


def _patches(level: NDArray[np.float32], places: NDArray[np.float64]) -> NDArray[np.float32]:
    """`[P, PATCH * PATCH, 3]` at `places`, shares of the free room."""
    windows = np.lib.stride_tricks.sliding_window_view(level, (PATCH, PATCH), (0, 1))
    tops, lefts = (places * np.array(windows.shape[:2])).astype(int).T
    chosen: NDArray[np.float32] = windows[tops, lefts]
    return chosen.transpose(0, 2, 3, 1).reshape(len(places), PATCH * PATCH, 3)
