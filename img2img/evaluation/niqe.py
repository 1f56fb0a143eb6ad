"""NIQE: how natural a picture looks, without a reference (Mittal, Soundararajan, Bovik 2013).

The locally normalised luma of natural pictures has a typical distribution, which blur, noise and compression change.
NIQE describes this distribution with 36 numbers per patch of 96 x 96 pixels. Its value is the distance between the
patches of a picture and those of good photos.

Needs only numpy. With the statistics of the standard implementations (MATLAB release, BasicSR) it gives the same
values as they do. The bundled statistics were fitted for img2img, see `fit` and `examples/fit_niqe.py`. Values with
them rank pictures, but cannot be compared with published ones.
"""

import io
import math
from collections.abc import Iterable
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import BinaryIO, Self

import numpy as np
from numpy.typing import NDArray

from img2img.data.bicubic import cubic
from img2img.errors import DataError
from img2img.evaluation.blur import blur
from img2img.evaluation.metrics import luma

Picture = NDArray[np.uint8]
Array = NDArray[np.float64]

PATCH = 96
"""Side of a patch in pixels at the first scale. At the second scale it is half of this."""

FEATURES = 36
MIN_SHARPNESS = 0.75
"""`fit` uses the patches that are sharper than this share of the sharpest one in their picture (section 4)."""

BUNDLED = Path(__file__).with_name("niqe_free_photos.npz")


@dataclass(frozen=True)
class Statistics:
    """The multivariate Gaussian of good photos: `mean` [36] and `covariance` [36, 36]. `about` describes the photos."""

    mean: Array
    covariance: Array
    about: str

    @classmethod
    def load(cls, path: Path | None = None) -> Self:
        """Read an .npz file from `save`, or the published one (`mu_pris_param`, `cov_pris_param`). Never unpickles.

        Args:
            path: None: the bundled statistics.

        Raises:
            DataError: the file cannot be read or does not have 36 features.
        """
        file = path or BUNDLED
        try:
            with np.load(file, allow_pickle=False) as found:
                published = "mu_pris_param" in found
                mean = found["mu_pris_param" if published else "mean"].astype(np.float64).reshape(-1)
                covariance = found["cov_pris_param" if published else "covariance"].astype(np.float64)
                about = file.name if published else str(found["about"])
        except (OSError, ValueError, KeyError, EOFError) as error:
            raise DataError(f"{file}: cannot be read as NIQE statistics (.npz): {error}", path=file) from error
        if mean.shape != (FEATURES,) or covariance.shape != (FEATURES, FEATURES):
            raise DataError(
                f"{file}: has a mean of shape {list(mean.shape)} and a covariance of shape {list(covariance.shape)};"
                f" NIQE has {FEATURES} features",
                path=file,
            )
        if not (np.isfinite(mean).all() and np.isfinite(covariance).all()):
            raise DataError(f"{file}: has numbers that are not finite", path=file)
        return cls(mean, covariance, about)

    def save(self, file: BinaryIO) -> None:
        """Write the statistics as an .npz file."""
        buffer = io.BytesIO()
        np.savez_compressed(buffer, mean=self.mean, covariance=self.covariance, about=np.array(self.about))
        file.write(buffer.getvalue())


@lru_cache(maxsize=1)
def bundled() -> Statistics:
    """The bundled statistics."""
    return Statistics.load()


def niqe(picture: Picture, statistics: Statistics | None = None, *, border: int = 0) -> float:
    """NIQE of uint8 RGB `[H, W, 3]`; lower is better. Good photos have about 3 to 5.

    Uses rounded BT.601 luma (16..235) and as many whole patches as fit, starting at the top left. Few patches give an
    unreliable value; a picture should have at least a dozen.

    Args:
        statistics: those of good photos; None: the bundled ones.
        border: pixels to crop on each side.

    Raises:
        DataError: fewer than two patches have any detail.
    """
    reference = statistics or bundled()
    height, width = picture.shape[:2]
    found = features(picture[border : height - border, border : width - border])
    whole = found[~np.isnan(found).any(axis=1)]
    if len(whole) < 2:
        raise DataError(
            f"NIQE needs 2 patches of {PATCH}x{PATCH} pixels with detail; a picture of {width}x{height} has only"
            f" {len(whole)}"
        )
    difference = reference.mean - np.nanmean(found, axis=0)
    inverse = np.linalg.pinv((reference.covariance + np.cov(whole, rowvar=False)) / 2)
    return float(np.sqrt(difference @ inverse @ difference))


def fit(pictures: Iterable[Picture], about: str) -> tuple[Statistics, int]:
    """Fit the statistics of good photos as published: one Gaussian for the sharp patches of all photos.

    Args:
        pictures: uint8 RGB `[H, W, 3]` each. Those smaller than a patch are skipped.
        about: describes the photos.

    Returns:
        The statistics, and the number of patches used.

    Raises:
        DataError: there are too few sharp patches.
    """
    chosen = []
    for picture in pictures:
        if min(picture.shape[:2]) < PATCH:
            continue
        plane = _whole_patches(np.rint(luma(picture)))
        sharpness = _patches(_normalised(plane)[1], PATCH).mean(axis=(1, 2))
        chosen.append(features(picture)[sharpness > MIN_SHARPNESS * sharpness.max()])
    rows = np.concatenate([*chosen, np.empty((0, FEATURES))])
    whole = rows[~np.isnan(rows).any(axis=1)]
    if len(whole) <= FEATURES:
        raise DataError(
            f"the pictures have {len(whole)} sharp patches of {PATCH}x{PATCH} pixels; at least {FEATURES + 1} are"
            " needed"
        )
    return Statistics(np.nanmean(rows, axis=0), np.cov(whole, rowvar=False), about), len(whole)


def features(picture: Picture) -> Array:
    """The 36 features `[patches, 36]` of each patch of uint8 RGB `[H, W, 3]`, row by row; 18 for each of two scales.

    For a patch without detail, the shape of the distribution is 0.2 and other features are NaN, as published.
    """
    plane = _whole_patches(np.rint(luma(picture)))
    if not plane.size:
        return np.empty((0, FEATURES))
    fine = _describe(_patches(_normalised(plane)[0], PATCH))
    coarse = _describe(_patches(_normalised(_halved(plane))[0], PATCH // 2))
    return np.concatenate([fine, coarse], axis=1)


def _whole_patches(plane: Array) -> Array:
    """`plane` without the pixels at its right and bottom that do not fill a patch."""
    height, width = (side // PATCH * PATCH for side in plane.shape)
    return plane[:height, :width]


def _patches(plane: Array, side: int) -> Array:
    """The patches `[patches, side, side]` of `plane`, row by row."""
    height, width = plane.shape
    grid = plane.reshape(height // side, side, width // side, side).swapaxes(1, 2)
    return np.ascontiguousarray(grid).reshape(-1, side, side)


def _normalised(plane: Array) -> tuple[Array, Array]:
    """Values with the local mean subtracted and the contrast normalised (equations 1 to 3), and the local deviation.

    The deviation is the measure of sharpness.
    """
    mean = _blur(plane)
    deviation = np.sqrt(np.abs(_blur(plane * plane) - mean * mean))
    return (plane - mean) / (deviation + 1), deviation


def _blur(plane: Array) -> Array:
    """Blur with a 7 x 7 Gaussian of sigma 7/6. Pixels at the border repeat beyond it."""
    window = np.exp(-(np.arange(-3, 4) ** 2) / (2 * (7 / 6) ** 2))
    window /= window.sum()
    return blur(np.pad(plane, 3, mode="edge"), window)


def _halved(plane: Array) -> Array:
    """Halve the size with MATLAB's antialiased bicubic, like `data.bicubic`, but without rounding, as published."""
    taps = cubic((np.arange(-3, 5) - 0.5) / 2)
    taps /= taps.sum()
    for _ in range(2):
        rows = plane.shape[0] // 2
        padded = np.pad(plane, ((3, 3), (0, 0)), mode="symmetric")
        plane = np.asarray(sum(tap * padded[place::2][:rows] for place, tap in enumerate(taps))).T
    return plane


def _describe(patches: Array) -> Array:
    """The features `[patches, 18]` of patches `[patches, side, side]` at one scale.

    The first two are shape and width of the distribution of the values. Then come shape, mean, left and right width
    of the distribution of their products with a neighbour, for the neighbours to the right, below, and below on both
    diagonals.
    """
    shape, left, right, _ = _fit_distribution(patches)
    found = [shape, (left + right) / 2]
    for shift in ((0, 1), (1, 0), (1, 1), (1, -1)):
        shape, left, right, mean = _fit_distribution(patches * np.roll(patches, shift, axis=(1, 2)))
        found += [shape, mean, left, right]
    return np.stack(found, axis=1)


def _fit_distribution(patches: Array) -> tuple[Array, Array, Array, Array]:
    """Fit an asymmetric generalised Gaussian to the moments of each patch (Lasmar et al. 2009).

    Returns shape, left width, right width and mean, `[patches]` each. The widths are NaN unless a patch has values on
    both sides of 0.
    """
    shapes, ratios, widths, means = _shape_table()
    negative, positive = patches < 0, patches > 0
    squares = patches * patches
    with np.errstate(invalid="ignore", divide="ignore"):
        left = np.sqrt((squares * negative).sum((1, 2)) / negative.sum((1, 2)))
        right = np.sqrt((squares * positive).sum((1, 2)) / positive.sum((1, 2)))
        skew = left / right
        ratio = np.abs(patches).mean((1, 2)) ** 2 / squares.mean((1, 2))
        ratio = ratio * (skew**3 + 1) * (skew + 1) / (skew**2 + 1) ** 2
    place = np.clip(np.searchsorted(ratios, ratio), 1, len(ratios) - 1)
    place = np.where(ratio - ratios[place - 1] <= ratios[place] - ratio, place - 1, place)
    place = np.where(np.isnan(ratio), 0, place)
    left, right = left * widths[place], right * widths[place]
    return shapes[place], left, right, (right - left) * means[place]


@lru_cache(maxsize=1)
def _shape_table() -> tuple[Array, Array, Array, Array]:
    """The shapes to choose from, as published, and three numbers for each.

    These are the ratio of moments that identifies the shape (it increases with it), the width of a side divided by its
    deviation, and the mean divided by the difference between the widths.
    """
    shapes = np.arange(0.2, 10.001, 0.001)
    first, second, third = (np.array([math.gamma(order / shape) for shape in shapes]) for order in (1, 2, 3))
    return shapes, second**2 / (first * third), np.sqrt(first / third), second / first
