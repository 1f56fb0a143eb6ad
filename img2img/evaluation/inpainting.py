"""How well holes are filled: figures of the holes alone, beside what can be had without learning."""

import hashlib
import importlib.util
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import cv2
import numpy as np
from numpy.typing import NDArray

from img2img.data.folders import read_rgb
from img2img.data.masks import Boxes, Kinds, MaskConfig, Strokes, masks
from img2img.errors import DataError
from img2img.evaluation.cases import MOST_PSNR, Case, Figure, Picture, Share

if TYPE_CHECKING:
    from img2img.runtime.network.network import Network

Array = NDArray[np.float64]
Mask = NDArray[np.uint8]
"""`[H, W]`, 1 = fill here, else 0."""
Fill = Callable[[Picture, Mask], Picture]

SIDE = 256
"""Pixels that photos are reduced to where nothing else is said, as in the papers."""
SMALLEST = 32

RADIUS = 3
"""Neighbourhood of OpenCV's methods in pixels, as in its own examples."""

HOLES = {
    "strokes": MaskConfig(kinds=Kinds(both=0, strokes=1), strokes=Strokes(count=(1, 6)), share=(0.1, 0.4)),
    "box": MaskConfig(kinds=Kinds(both=0, box=1), box=Boxes(count=(1, 2), sides=(0.32, 0.63)), share=(0.1, 0.4)),
}
"""A photo is measured with one hole of each kind."""

SHOWN = (255, 0, 255)
"""Colour of a hole in a sheet."""


@dataclass(frozen=True)
class Hole:
    """A photo, uint8 RGB `[H, W, 3]`, and a hole in it."""

    name: str
    photo: Picture
    mask: Mask


def holes(paths: Iterable[Path], *, side: int | None = SIDE) -> Iterator[Hole]:
    """Each photo with a hole of each kind of `HOLES`, of 10 to 40 % of it; a function of the file's name and size.

    Args:
        side: the middle square of a photo is reduced to so many pixels (and not enlarged); None: whole photos.

    Raises:
        DataError: a photo has a side below 32 pixels.
        PictureError: it cannot be read.
    """
    for path in paths:
        photo = _seen(read_rgb(path), side)
        if min(photo.shape[:2]) < SMALLEST:
            raise DataError(f"{path}: {photo.shape[1]}x{photo.shape[0]} pixels, {SMALLEST} on each side are needed")
        for kind, config in HOLES.items():
            digest = hashlib.sha256(f"{path.stem} {kind}".encode("utf-8", "surrogateescape")).digest()
            rng = np.random.default_rng(int.from_bytes(digest[:8], "big"))
            mask = masks(config).draw(rng, *photo.shape[:2])
            yield Hole(f"{path.stem} {kind} {mask.mean():.0%}", photo, mask)


def evaluate(ways: Mapping[str, Fill], cases: Iterable[Hole]) -> Iterator[Case]:
    """`figures` of each way for each hole."""
    for hole in cases:
        results = {way: fill(hole.photo, hole.mask) for way, fill in ways.items()}
        scores = {way: figures(result, hole.photo, hole.mask) for way, result in results.items()}
        shown = np.where(hole.mask[:, :, None] > 0, np.array(SHOWN, np.uint8), hole.photo)
        yield Case(hole.name, scores, {"input": shown, **results, "truth": hole.photo})


def rivals() -> dict[str, Fill]:
    """Ways to fill holes without learning; scikit-image's among them where it is installed."""
    found: dict[str, Fill] = {"telea": telea, "navier-stokes": navier_stokes}
    if importlib.util.find_spec("skimage") is not None:
        found["biharmonic"] = biharmonic
    return found


def telea(photo: Picture, mask: Mask) -> Picture:
    """The hole filled from its edge inwards (Telea 2004), by OpenCV."""
    return np.asarray(cv2.inpaint(photo, mask, RADIUS, cv2.INPAINT_TELEA), np.uint8)


def navier_stokes(photo: Picture, mask: Mask) -> Picture:
    """Lines of equal brightness continued as a fluid flows (Bertalmio, Bertozzi, Sapiro 2001), by OpenCV."""
    return np.asarray(cv2.inpaint(photo, mask, RADIUS, cv2.INPAINT_NS), np.uint8)


def biharmonic(photo: Picture, mask: Mask) -> Picture:
    """The smooth surface that continues the edge (Damelin and Hoang 2018), by scikit-image.

    Raises:
        DataError: scikit-image is not installed.
    """
    try:
        from skimage.restoration import inpaint_biharmonic
    except ImportError as error:
        raise DataError("biharmonic inpainting needs scikit-image: pip install scikit-image") from error
    filled = np.rint(inpaint_biharmonic(photo, mask > 0, channel_axis=-1) * 255).clip(0, 255).astype(np.uint8)
    return np.where(mask[:, :, None] > 0, filled, photo)


def by_model(model: "Network") -> Fill:
    """As `img2img inpaint` fills, with its usual options."""
    from img2img.runtime.image import pictures as runtime
    from img2img.runtime.tasks import inpaint

    def fill(photo: Picture, mask: Mask) -> Picture:
        return np.asarray(inpaint.inpaint(model, runtime.Picture(photo), mask > 0).colour, np.uint8)

    return fill


def figures(result: Picture, truth: Picture, mask: Mask) -> dict[str, Figure]:
    """Of what lies in the hole; pixels outside count nothing, except as neighbours of the rim.

    `psnr` in dB (at most 100), `ssim` (the map of Wang et al. 2004, RGB, its values at the pixels of the hole; their
    windows look beyond its edge), `l1` (0..1); `sharpness`, the mean difference of neighbours in the hole as a share of
    the truth's: below 1 blurred, above 1 noisy; and `border`, the mean difference of neighbours on the two sides of the
    hole's rim as a share of the truth's: far above 1 where the rim can be seen.
    """
    hole = mask > 0
    a, b = result.astype(np.float64), truth.astype(np.float64)
    error = float(np.mean((a - b)[hole] ** 2))
    inside = _neighbours(hole, lambda one, other: one & other)
    across = _neighbours(hole, lambda one, other: one ^ other)
    return {
        "psnr": min(10 * float(np.log10(255.0**2 / max(error, 1e-12))), MOST_PSNR),
        "ssim": float(ssim_map(a, b)[hole].mean()),
        "l1": float(np.mean(np.abs(a - b)[hole])) / 255,
        "sharpness": Share(_steps(a, inside), _steps(b, inside)),
        "border": Share(_steps(a, across), _steps(b, across)),
    }


def ssim_map(a: Array, b: Array) -> Array:
    """Structural similarity at every pixel of two pictures `[H, W, C]`, values 0..255, channels averaged: `[H, W]`.

    As `evaluation.metrics.ssim`, whose mean is that of the windows that lie whole inside; here, beyond its border the
    picture is mirrored.
    """
    c1, c2 = (0.01 * 255) ** 2, (0.03 * 255) ** 2
    mean_a, mean_b = _blur(a), _blur(b)
    variances = _blur(a * a) - mean_a**2 + _blur(b * b) - mean_b**2
    covariance = _blur(a * b) - mean_a * mean_b
    similarity = (2 * mean_a * mean_b + c1) * (2 * covariance + c2)
    similarity /= (mean_a**2 + mean_b**2 + c1) * (variances + c2)
    return np.asarray(similarity.mean(2))


def _seen(photo: Picture, side: int | None) -> Picture:
    if side is None:
        return photo
    shorter = min(photo.shape[:2])
    top, left = ((length - shorter) // 2 for length in photo.shape[:2])
    square = np.ascontiguousarray(photo[top : top + shorter, left : left + shorter])
    if shorter <= side:
        return square
    return np.asarray(cv2.resize(square, (side, side), interpolation=cv2.INTER_AREA), np.uint8)


def _blur(picture: Array) -> Array:
    return np.asarray(cv2.GaussianBlur(picture, (11, 11), 1.5), np.float64)


Pairs = tuple[NDArray[np.bool_], NDArray[np.bool_]]


def _neighbours(
    hole: NDArray[np.bool_], chosen: Callable[[NDArray[np.bool_], NDArray[np.bool_]], NDArray[np.bool_]]
) -> Pairs:
    """Which pairs of neighbours are meant: side by side `[H, W - 1]`, and one above the other `[H - 1, W]`."""
    return chosen(hole[:, 1:], hole[:, :-1]), chosen(hole[1:], hole[:-1])


def _steps(picture: Array, pairs: Pairs) -> float:
    """Mean absolute difference of the chosen neighbours, of the mean of the channels, across plus down."""
    grey = picture.mean(2)
    steps = (np.abs(np.diff(grey, axis=axis)) for axis in (1, 0))
    return sum(float(step[those].mean()) for step, those in zip(steps, pairs, strict=True) if those.any())
