"""Sliced Wasserstein distance between two sets of pictures. Needs no feature network."""

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray
from PIL import Image

Picture = NDArray[np.uint8]

PATCH = 7
"""Side of a patch in pixels."""
PATCHES = 128
"""Number of patches per picture and level."""
DIRECTIONS = 256
"""Number of random projections."""
MIN_SIDE = 16
"""Smallest side of a pyramid level in pixels."""


def sliced_wasserstein(a: Sequence[Picture], b: Sequence[Picture], *, seed: int = 0) -> float:
    """Mean sliced Wasserstein distance of 7x7 patches over the levels of a Laplacian pyramid; 0 for equal sets.

    Karras et al. 2018, section 5. The patches of each level are normalised by the mean and deviation of each channel,
    projected on random directions, sorted and compared. The mean and deviation are those of `b`, the real pictures.
    `seed` determines the positions of the patches, which are the same in both sets, so that equal sets give exactly 0.

    Args:
        a, b: uint8 RGB `[H, W, 3]` with sides of at least 16. The larger set is cut to the size of the smaller one.

    Raises:
        ValueError: a set is empty.
    """
    if not a or not b:
        raise ValueError("a set without pictures has no distance")
    count = min(len(a), len(b))
    pyramids = [[_pyramid(picture) for picture in pictures[:count]] for pictures in (a, b)]
    levels = min(len(pyramid) for group in pyramids for pyramid in group)
    distances = []
    for level in range(levels):
        rng = np.random.default_rng((seed, level))
        positions = rng.random((count, PATCHES, 2))
        patches_a, patches_b = (
            np.concatenate([_patches(p[level], at) for p, at in zip(group, positions, strict=True)])
            for group in pyramids
        )
        mean, deviation = patches_b.mean((0, 1)), patches_b.std((0, 1)) + 1e-8
        directions = rng.standard_normal((PATCH * PATCH * 3, DIRECTIONS))
        directions /= np.linalg.norm(directions, axis=0)
        projected_a, projected_b = (
            np.sort(((patches - mean) / deviation).reshape(len(patches), -1) @ directions, axis=0)
            for patches in (patches_a, patches_b)
        )
        distances.append(np.abs(projected_a - projected_b).mean())
    return float(np.mean(distances))


def _pyramid(picture: Picture) -> list[NDArray[np.float32]]:
    """A Laplacian pyramid: differences between each level and the next coarser one, and the coarsest level itself."""
    levels = []
    image = Image.fromarray(picture)
    while min(image.size) >= 2 * MIN_SIDE:
        small = image.resize((image.width // 2, image.height // 2), Image.Resampling.BOX)
        enlarged = small.resize(image.size, Image.Resampling.BILINEAR)
        levels.append(np.asarray(image, np.float32) - np.asarray(enlarged, np.float32))
        image = small
    return [*levels, np.asarray(image, np.float32)]


def _patches(level: NDArray[np.float32], positions: NDArray[np.float64]) -> NDArray[np.float32]:
    """The patches `[P, PATCH * PATCH, 3]` at `positions` `[P, 2]`: shares 0..1 of the possible rows and columns."""
    windows = np.lib.stride_tricks.sliding_window_view(level, (PATCH, PATCH), (0, 1))
    tops, lefts = (positions * np.array(windows.shape[:2])).astype(int).T
    patches: NDArray[np.float32] = windows[tops, lefts]
    return patches.transpose(0, 2, 3, 1).reshape(len(positions), PATCH * PATCH, 3)
