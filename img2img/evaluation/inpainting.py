"""Measure how well holes are filled, inside the holes only, and compare with methods that need no training."""

import hashlib
import importlib.util
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import cv2
import numpy as np
from numpy.typing import NDArray

from img2img.data.folders import Reading, read_rgb
from img2img.data.masks import Boxes, Kinds, MaskConfig, Strokes, cached_masks
from img2img.errors import DataError
from img2img.evaluation import sliced_wasserstein
from img2img.evaluation.results import MAX_PSNR, Case, Distances, Figure, Picture, Ratio, no_distances
from img2img.text import nfc

if TYPE_CHECKING:
    from img2img.runtime.network.network import Network

Array = NDArray[np.float64]
Mask = NDArray[np.uint8]
"""`[H, W]`, 1 = fill here, else 0."""
Fill = Callable[[Picture, Mask], Picture]

MAX_COMPARED = 256
"""Number of results from which `Comparison.set_figures` is computed: the first ones."""
SIDE = 256
"""Default side in pixels that photos are reduced to, as in the papers."""
MIN_SIDE = 32
"""Smallest side in pixels that can be measured."""

RADIUS = 3
"""Neighbourhood in pixels that OpenCV's methods look at, as in its own examples."""

HOLES = {
    "strokes": MaskConfig(kinds=Kinds(both=0, strokes=1), strokes=Strokes(count=(1, 6)), share=(0.1, 0.4)),
    "box": MaskConfig(kinds=Kinds(both=0, box=1), box=Boxes(count=(1, 2), sides=(0.32, 0.63)), share=(0.1, 0.4)),
}
"""Kinds of holes. Every photo is measured with one hole of each kind."""

HOLE_COLOUR = (255, 0, 255)
"""RGB colour of a hole in a contact sheet."""


@dataclass(frozen=True)
class Hole:
    """A photo, uint8 RGB `[H, W, 3]`, and a hole in it."""

    name: str
    photo: Picture
    mask: Mask


def holes(paths: Iterable[Path], *, side: int | None = SIDE, reading: Reading = Reading()) -> Iterator[Hole]:
    """Each photo with one hole of each kind in `HOLES`, which covers 10 to 40 % of it.

    A hole depends only on the name of the file and the size of the photo.

    Args:
        side: crop photos to their central square and reduce it to this side (never enlarge it); None: whole photos.

    Raises:
        DataError: a photo has a side below 32 pixels.
        PictureError: it cannot be read.
    """
    for path in paths:
        photo = _reduced(read_rgb(path, reading), side)
        height, width = photo.shape[:2]
        if min(height, width) < MIN_SIDE:
            raise DataError(
                f"{path}: {width}x{height} pixels are too few, at least {MIN_SIDE} are needed on each side", path=path
            )
        for kind, config in HOLES.items():
            digest = hashlib.sha256(f"{nfc(path.stem)} {kind}".encode("utf-8", "surrogateescape")).digest()
            rng = np.random.default_rng(int.from_bytes(digest[:8], "big"))
            mask = cached_masks(config).draw(rng, height, width)
            yield Hole(f"{path.stem} {kind} {mask.mean():.0%}", photo, mask)


class Comparison:
    """Fills holes with several candidates. Measures each result, and the distance of all results to the photos.

    Args:
        distances: further distances between the whole filled photo and the photo.
    """

    def __init__(
        self, candidates: Mapping[str, Fill], holes: Iterable[Hole], distances: Distances = no_distances
    ) -> None:
        self.candidates = candidates
        self.holes = holes
        self.distances = distances
        self._made: dict[str, list[Picture]] = {name: [] for name in candidates}
        self._photos: list[Picture] = []

    def cases(self) -> Iterator[Case]:
        """The `figures` of each candidate for each hole, and the further distances."""
        for hole in self.holes:
            results = {name: fill(hole.photo, hole.mask) for name, fill in self.candidates.items()}
            scores = {
                name: {**figures(result, hole.photo, hole.mask), **self.distances(result, hole.photo)}
                for name, result in results.items()
            }
            if len(self._photos) < MAX_COMPARED and min(hole.mask.shape) >= sliced_wasserstein.MIN_SIDE:
                self._photos.append(hole.photo)
                for name, result in results.items():
                    self._made[name].append(result)
            with_hole = np.where(hole.mask[:, :, None] > 0, np.array(HOLE_COLOUR, np.uint8), hole.photo)
            yield Case(hole.name, scores, {"input": with_hole, **results, "truth": hole.photo})

    def set_figures(self) -> dict[str, dict[str, float]]:
        """swd: sliced Wasserstein distance between results and photos, once all `cases` have been consumed.

        Lower is better. Results differ from the photos in the holes only. It does not favour blur, as PSNR and SSIM do.
        """
        if not self._photos:
            return {}
        distance = sliced_wasserstein.sliced_wasserstein
        return {name: {"swd": distance(made, self._photos)} for name, made in self._made.items()}


def baselines() -> dict[str, Fill]:
    """Methods that fill holes without training. Includes the one from scikit-image if that is installed."""
    found: dict[str, Fill] = {"telea": telea, "navier-stokes": navier_stokes}
    if importlib.util.find_spec("skimage") is not None:
        found["biharmonic"] = biharmonic
    return found


def telea(photo: Picture, mask: Mask) -> Picture:
    """Fill the hole from its edge inwards (Telea 2004), with OpenCV."""
    return np.asarray(cv2.inpaint(photo, mask, RADIUS, cv2.INPAINT_TELEA), np.uint8)


def navier_stokes(photo: Picture, mask: Mask) -> Picture:
    """Continue lines of equal brightness like a fluid flow (Bertalmio, Bertozzi, Sapiro 2001), with OpenCV."""
    return np.asarray(cv2.inpaint(photo, mask, RADIUS, cv2.INPAINT_NS), np.uint8)


def biharmonic(photo: Picture, mask: Mask) -> Picture:
    """Fill the hole with a smooth surface that continues its edge (Damelin and Hoang 2018), with scikit-image.

    Raises:
        DataError: scikit-image is not installed.
    """
    try:
        from skimage.restoration import inpaint_biharmonic
    except ImportError as error:
        hint = "pip install scikit-image"
        raise DataError(f"biharmonic inpainting needs scikit-image: {hint}", hint=hint) from error
    filled = np.rint(inpaint_biharmonic(photo, mask > 0, channel_axis=-1) * 255).clip(0, 255).astype(np.uint8)
    return np.where(mask[:, :, None] > 0, filled, photo)


def from_model(model: "Network") -> Fill:
    """Fill holes like `img2img inpaint` with its default options."""
    from img2img.runtime.image import pictures as runtime
    from img2img.runtime.tasks import inpaint

    def fill(photo: Picture, mask: Mask) -> Picture:
        return np.asarray(inpaint.inpaint(model, runtime.Picture(photo), mask > 0).colour, np.uint8)

    return fill


def figures(result: Picture, truth: Picture, mask: Mask) -> dict[str, Figure]:
    """Figures for the pixels inside the hole. Pixels outside count only as neighbours across its border.

    Returns:
        psnr: in dB, at most 100.
        ssim: mean over the hole of the SSIM map on RGB (Wang et al. 2004). Its windows extend beyond the hole.
        l1: 0..1.
        sharpness: mean difference between neighbours in the hole, divided by that of the truth. Below 1 the result is
            blurred, above 1 it is noisy.
        border: mean difference between neighbours across the border of the hole, divided by that of the truth. Far
            above 1 the border is visible.
    """
    hole = mask > 0
    a, b = result.astype(np.float64), truth.astype(np.float64)
    error = float(np.mean((a - b)[hole] ** 2))
    inside = _neighbours(hole, np.logical_and)
    across = _neighbours(hole, np.logical_xor)
    return {
        "psnr": min(10 * float(np.log10(255.0**2 / max(error, 1e-12))), MAX_PSNR),
        "ssim": float(ssim_map(a, b)[hole].mean()),
        "l1": float(np.mean(np.abs(a - b)[hole])) / 255,
        "sharpness": Ratio(_mean_difference(a, inside), _mean_difference(b, inside)),
        "border": Ratio(_mean_difference(a, across), _mean_difference(b, across)),
    }


def ssim_map(a: Array, b: Array) -> Array:
    """Structural similarity `[H, W]` at every pixel of two pictures `[H, W, C]`, values 0..255, channels averaged.

    Unlike `evaluation.metrics.ssim`, which only uses windows inside the picture, this mirrors it at its border.
    """
    c1, c2 = (0.01 * 255) ** 2, (0.03 * 255) ** 2
    mean_a, mean_b = _blur(a), _blur(b)
    variances = _blur(a * a) - mean_a**2 + _blur(b * b) - mean_b**2
    covariance = _blur(a * b) - mean_a * mean_b
    similarity = (2 * mean_a * mean_b + c1) * (2 * covariance + c2)
    similarity /= (mean_a**2 + mean_b**2 + c1) * (variances + c2)
    return np.asarray(similarity.mean(2))


def _reduced(photo: Picture, side: int | None) -> Picture:
    """The central square of `photo`, reduced to `side`; None: the whole photo."""
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
"""Which pairs of neighbours to compare: side by side `[H, W - 1]`, and one above the other `[H - 1, W]`."""


def _neighbours(hole: NDArray[np.bool_], combine: Callable[..., NDArray[np.bool_]]) -> Pairs:
    """The pairs of neighbours for which `combine` is true, given which of the two lie in the hole."""
    return combine(hole[:, 1:], hole[:, :-1]), combine(hole[1:], hole[:-1])


def _mean_difference(picture: Array, pairs: Pairs) -> float:
    """Mean absolute difference between the neighbours in `pairs` (channels averaged), horizontally plus vertically."""
    grey = picture.mean(2)
    differences = (np.abs(np.diff(grey, axis=axis)) for axis in (1, 0))
    total = 0.0
    for difference, chosen in zip(differences, pairs, strict=True):
        if chosen.any():
            total += float(difference[chosen].mean())
    return total
