"""NIQE: how natural a picture looks, without a reference (Mittal, Soundararajan, Bovik 2013).

Locally normalised luma of natural pictures has a distribution that blur, noise and compression change. NIQE describes
it in patches of 96 x 96 by 36 numbers, and is the distance of a picture's patches from those of good photos. Needs
nothing but numpy; agrees with the field's standard code (MATLAB release, BasicSR) where it is given that code's
statistics. The statistics that come with img2img were fitted here, see `fit` and `examples/fit_niqe.py`: figures
measured with them rank pictures, but are not to be mixed with published ones.
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
from img2img.evaluation.metrics import luma

Picture = NDArray[np.uint8]
Array = NDArray[np.float64]

PATCH = 96
"""Side in pixels; half of it at the second scale."""

FEATURES = 36
SHARP = 0.75
"""A patch is fitted to if it is sharper than this share of the sharpest in its picture (section 4 of the paper)."""

BUNDLED = Path(__file__).with_name("niqe_free_photos.npz")


@dataclass(frozen=True)
class Statistics:
    """The multivariate Gaussian of good photos: `mean` [36], `covariance` [36, 36]; `about` says whose, in words."""

    mean: Array
    covariance: Array
    about: str

    @classmethod
    def load(cls, path: Path | None = None) -> Self:
        """Read an .npz file that `save` wrote, or the published one (`mu_pris_param`, `cov_pris_param`), safely.

        Args:
            path: None: the statistics that come with img2img.

        Raises:
            DataError: it cannot be read or does not hold 36 features.
        """
        file = path or BUNDLED
        try:
            with np.load(file, allow_pickle=False) as found:
                published = "mu_pris_param" in found
                mean = found["mu_pris_param" if published else "mean"].astype(np.float64).reshape(-1)
                covariance = found["cov_pris_param" if published else "covariance"].astype(np.float64)
                about = file.name if published else str(found["about"])
        except (OSError, ValueError, KeyError, EOFError) as error:
            raise DataError(f"{file}: cannot be read as NIQE statistics (.npz): {error}") from error
        if mean.shape != (FEATURES,) or covariance.shape != (FEATURES, FEATURES):
            raise DataError(
                f"{file}: mean {list(mean.shape)}, covariance {list(covariance.shape)}; NIQE has 36 features"
            )
        if not (np.isfinite(mean).all() and np.isfinite(covariance).all()):
            raise DataError(f"{file}: not all of its numbers are finite")
        return cls(mean, covariance, about)

    def save(self, file: BinaryIO) -> None:
        """Write an .npz file."""
        buffer = io.BytesIO()
        np.savez_compressed(buffer, mean=self.mean, covariance=self.covariance, about=np.array(self.about))
        file.write(buffer.getvalue())


@lru_cache(maxsize=1)
def bundled() -> Statistics:
    """The statistics that come with img2img."""
    return Statistics.load()


def niqe(picture: Picture, statistics: Statistics | None = None, *, border: int = 0) -> float:
    """NIQE of uint8 RGB `[H, W, 3]`; lower is better, good photos have about 3 to 5.

    Measured on rounded BT.601 luma (16..235), in as many whole patches as fit; what is left at right and bottom is not
    looked at. Few patches make an uncertain figure: a picture should have a dozen.

    Args:
        statistics: of good photos; None: those that come with img2img.
        border: pixels left out on each side.

    Raises:
        DataError: it has not two patches with any detail.
    """
    known = statistics or bundled()
    height, width = picture.shape[:2]
    found = features(picture[border : height - border, border : width - border])
    whole = found[~np.isnan(found).any(axis=1)]
    if len(whole) < 2:
        raise DataError(
            f"NIQE needs 2 patches of {PATCH}x{PATCH} pixels that are not flat; a picture of {width}x{height} has "
            f"{len(whole)}"
        )
    off = known.mean - np.nanmean(found, axis=0)
    inverse = np.linalg.pinv((known.covariance + np.cov(whole, rowvar=False)) / 2)
    return float(np.sqrt(off @ inverse @ off))


def fit(pictures: Iterable[Picture], about: str) -> tuple[Statistics, int]:
    """The statistics of good photos, by the published procedure: the sharp patches of each, and one Gaussian of all.

    Args:
        pictures: uint8 RGB `[H, W, 3]` each; smaller ones than a patch are passed over.
        about: says whose statistics these are.

    Returns:
        the statistics, and how many patches they are of.

    Raises:
        DataError: there are fewer patches than features.
    """
    chosen = []
    for picture in pictures:
        if min(picture.shape[:2]) < PATCH:
            continue
        plane = _whole(np.rint(luma(picture)))
        sharpness = _patches(_normalised(plane)[1], PATCH).mean(axis=(1, 2))
        chosen.append(features(picture)[sharpness > SHARP * sharpness.max()])
    rows = np.concatenate([*chosen, np.empty((0, FEATURES))])
    whole = rows[~np.isnan(rows).any(axis=1)]
    if len(whole) <= FEATURES:
        raise DataError(f"{len(whole)} sharp patches of {PATCH}x{PATCH} pixels; {FEATURES + 1} are needed at least")
    return Statistics(np.nanmean(rows, axis=0), np.cov(whole, rowvar=False), about), len(whole)


def features(picture: Picture) -> Array:
    """The 36 features of each patch of uint8 RGB `[H, W, 3]`, row by row: `[patches, 36]`, 18 of each of two scales.

    In a patch without detail features are NaN, and the shape of its distribution is 0.2, as published.
    """
    plane = _whole(np.rint(luma(picture)))
    if not plane.size:
        return np.empty((0, FEATURES))
    fine = _described(_patches(_normalised(plane)[0], PATCH))
    coarse = _described(_patches(_normalised(_halved(plane))[0], PATCH // 2))
    return np.concatenate([fine, coarse], axis=1)


def _whole(plane: Array) -> Array:
    height, width = (side // PATCH * PATCH for side in plane.shape)
    return plane[:height, :width]


def _patches(plane: Array, side: int) -> Array:
    """`[patches, side, side]`, row by row."""
    height, width = plane.shape
    cut = plane.reshape(height // side, side, width // side, side).swapaxes(1, 2)
    return np.ascontiguousarray(cut).reshape(-1, side, side)


def _normalised(plane: Array) -> tuple[Array, Array]:
    """Mean-subtracted, contrast-normalised values, equations 1 to 3, and the local deviation (the sharpness)."""
    mean = _blur(plane)
    deviation = np.sqrt(np.abs(_blur(plane * plane) - mean * mean))
    return (plane - mean) / (deviation + 1), deviation


def _blur(plane: Array) -> Array:
    """7 x 7 Gaussian of sigma 7/6; the picture's edge is repeated."""
    window = np.exp(-(np.arange(-3, 4) ** 2) / (2 * (7 / 6) ** 2))
    window /= window.sum()
    height, width = plane.shape
    padded = np.pad(plane, 3, mode="edge")
    tall = sum(weight * padded[row : row + height] for row, weight in enumerate(window))
    return np.asarray(sum(weight * tall[:, column : column + width] for column, weight in enumerate(window)))


def _halved(plane: Array) -> Array:
    """Half the size by MATLAB's antialiased bicubic, as `data.bicubic`; unrounded, as published."""
    taps = cubic((np.arange(-3, 5) - 0.5) / 2)
    taps /= taps.sum()
    for _ in range(2):
        rows = plane.shape[0] // 2
        padded = np.pad(plane, ((3, 3), (0, 0)), mode="symmetric")
        plane = np.asarray(sum(tap * padded[place::2][:rows] for place, tap in enumerate(taps))).T
    return plane


def _described(patches: Array) -> Array:
    """`[patches, side, side]` -> `[patches, 18]`: shape and width of the distribution of the values; then shape, mean,
    left and right width of that of their products with the neighbours right, below, and below on both diagonals."""
    shape, left, right, _ = _fitted(patches)
    found = [shape, (left + right) / 2]
    for shift in ((0, 1), (1, 0), (1, 1), (1, -1)):
        shape, left, right, mean = _fitted(patches * np.roll(patches, shift, axis=(1, 2)))
        found += [shape, mean, left, right]
    return np.stack(found, axis=1)


def _fitted(patches: Array) -> tuple[Array, Array, Array, Array]:
    """Asymmetric generalised Gaussian with the moments of each patch (Lasmar et al. 2009): shape, left width, right
    width and mean, `[patches]` each. Without values on both sides of 0, the widths are NaN."""
    shapes, ratios, widths, means = _table()
    negative, positive = patches < 0, patches > 0
    squares = patches * patches
    with np.errstate(invalid="ignore", divide="ignore"):
        left = np.sqrt((squares * negative).sum((1, 2)) / negative.sum((1, 2)))
        right = np.sqrt((squares * positive).sum((1, 2)) / positive.sum((1, 2)))
        skew = left / right
        wanted = np.abs(patches).mean((1, 2)) ** 2 / squares.mean((1, 2))
        wanted = wanted * (skew**3 + 1) * (skew + 1) / (skew**2 + 1) ** 2
    place = np.clip(np.searchsorted(ratios, wanted), 1, len(ratios) - 1)
    place = np.where(wanted - ratios[place - 1] <= ratios[place] - wanted, place - 1, place)
    place = np.where(np.isnan(wanted), 0, place)
    left, right = left * widths[place], right * widths[place]
    return shapes[place], left, right, (right - left) * means[place]


@lru_cache(maxsize=1)
def _table() -> tuple[Array, Array, Array, Array]:
    """The shapes that are tried, as published, and of each the ratio of moments by which it is found (which rises), a
    side's width as a share of its deviation, and the mean as a share of the widths' difference."""
    shapes = np.arange(0.2, 10.001, 0.001)
    first, second, third = (np.array([math.gamma(order / shape) for shape in shapes]) for order in (1, 2, 3))
    return shapes, second**2 / (first * third), np.sqrt(first / third), second / first
