"""Measure colours that a model gives to grey photos, against those that the photos had."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from img2img.data.folders import Reading, read_rgb
from img2img.data.layouts import hash_fraction
from img2img.data.pairs import find_pairs
from img2img.evaluation import domain_classifier, neighbourhoods, samples
from img2img.evaluation.domain_classifier import DomainClassifier
from img2img.evaluation.kernel_distance import kid
from img2img.evaluation.metrics import psnr
from img2img.evaluation.results import MAX_PSNR, Case, Distances, Figure, Picture, Ratio, no_distances, spread
from img2img.evaluation.samples import Translate
from img2img.runtime.image.luminance import LUMA_WEIGHTS

Floats = NDArray[np.float32]

TO_YCBCR = np.array([LUMA_WEIGHTS, [-0.168736, -0.331264, 0.5], [0.5, -0.418688, -0.081312]], np.float32)
"""ITU-R BT.601, full range, as in JPEG."""


@dataclass(frozen=True)
class ColourPhotos:
    """Photos whose grey versions are coloured, and photos to train a classifier on. `about` describes the choice."""

    measured: list[Path]
    training: list[Path]
    about: str


def photos(
    folders: Sequence[Path], *, train: Sequence[Path] = (), held_out: bool = False, count: int | None = None
) -> ColourPhotos:
    """The photos in `folders`.

    Args:
        train: folders with training photos. If empty and `held_out` is set, the photos of `folders` that are not held
            out are the training photos.
        held_out: measure only the photos that a training with `data.layout = photos` on these folders holds out.
        count: measure at most so many, evenly spread.

    Raises:
        DataError: a folder does not exist or has too few photos.
    """
    found = find_pairs(folders, layout="photos")
    training, measured = ([pair.target.path for pair in side] for side in (found.train, found.test))
    if not held_out:
        training, measured = [], sorted(training + measured)
    if train:
        other = find_pairs(train, layout="photos")
        training = [pair.target.path for pair in other.train + other.test]
    known = {path.resolve() for path in measured}
    return ColourPhotos(
        spread(measured, count), [path for path in training if path.resolve() not in known], found.layout
    )


def figures(result: Picture, truth: Picture) -> dict[str, Figure]:
    """Compare a result with the truth. Both are uint8 RGB of the same size.

    Returns:
        chroma_l1: mean absolute difference of Cb and Cr, 0..1; lower is better.
        chroma_ratio: mean chroma (distance from grey in Cb and Cr) divided by that of the truth. Below 1, colours are
            paler.
        psnr: on RGB, in dB, at most 100.
        luma_off: share of pixels whose luminance differs from that of the truth by more than one step of 255.
    """
    made, wanted = _ycbcr(result), _ycbcr(truth)
    return {
        "chroma_l1": float(np.abs(made[..., 1:] - wanted[..., 1:]).mean()),
        "chroma_ratio": Ratio(*(float(np.hypot(one[..., 1], one[..., 2]).mean()) for one in (made, wanted))),
        "psnr": min(psnr(result, truth), MAX_PSNR),
        # Both are rounded to 8 bits: by up to half a step each.
        "luma_off": float((np.abs(made[..., 0] - wanted[..., 0]) > 1 / 255 + 1e-6).mean()),
    }


class Comparison:
    """Colours the grey versions of photos, and compares the results with the photos.

    Args:
        candidates: by name, a function that colours a grey picture `[H, W, 3]`.
        classifier: made by `train_classifier`; None: no distances between sets.
        distances: further distances to the photo.
    """

    def __init__(
        self,
        candidates: Mapping[str, Translate],
        data: ColourPhotos,
        classifier: DomainClassifier | None,
        reading: Reading = Reading(),
        distances: Distances = no_distances,
    ) -> None:
        self.candidates = candidates
        self.data = data
        self.classifier = classifier
        self.reading = reading
        self.distances = distances
        self._features: dict[str, list[Floats]] = {}

    def cases(self) -> Iterator[Case]:
        """One case per photo: the `figures` of the grey photo ("copy") and of each candidate's samples.

        Raises:
            PictureError: a photo cannot be read.
        """
        for path in self.data.measured:
            truth = read_rgb(path, self.reading)
            source = grey(truth)
            results = {name: translate(source, "") for name, translate in self.candidates.items()}
            if self.classifier is not None:
                for name, pictures in {"real": [truth], "copy": [source], **results}.items():
                    self._features.setdefault(name, []).append(self.classifier.features(pictures))
            compare = partial(self._compared, truth=truth)
            scores = {
                name: samples.figures(made, compare, self.distances)
                for name, made in {"copy": [source], **results}.items()
            }
            yield Case(path.name, scores, {"input": source, **samples.shown(results), "truth": truth})

    def _compared(self, result: Picture, *, truth: Picture) -> dict[str, Figure]:
        return figures(result, truth) | self.distances(result, truth)

    def set_figures(self) -> dict[str, dict[str, float]]:
        """Compare the grey photos and each candidate's results with the colour photos, once all `cases` are consumed.

        Returns:
            candidate -> kid_own, kid_own_error: see `kernel_distance.kid`; lower is better. And precision, recall,
            density, coverage: see `neighbourhoods.figures`; higher is better. Empty without a classifier or with fewer
            than three photos.
        """
        found = {name: np.concatenate(features) for name, features in self._features.items()}
        real = found.pop("real", np.empty((0, 1), np.float32))
        if len(real) < 3:
            return {}
        distances = {name: kid(real, made) for name, made in found.items()}
        return {
            name: {"kid_own": one.value, "kid_own_error": one.error} | neighbourhoods.figures(real, found[name])
            for name, one in distances.items()
        }


def train_classifier(
    paths: Sequence[Path],
    *,
    seed: int = 0,
    steps: int = domain_classifier.STEPS,
    threads: int | None = None,
    reading: Reading = Reading(),
) -> DomainClassifier:
    """Train a classifier that tells photos from their grey versions and from versions with other hues.

    To do the latter, it must know which colours are likely where. So KID in its features measures more than how
    colourful pictures are.

    Raises:
        PictureError: a file cannot be read.
    """

    def read_grey(path: Path, reading: Reading) -> Picture:
        return grey(read_rgb(path, reading))

    def read_turned(path: Path, reading: Reading) -> Picture:
        return other_hues(read_rgb(path, reading), path.stem)

    readers = (read_rgb, read_grey, read_turned)
    return domain_classifier.train(
        [paths] * len(readers), readers=readers, seed=seed, steps=steps, threads=threads, reading=reading
    )


def grey(picture: Picture) -> Picture:
    """The luminance of `picture`, uint8 RGB `[H, W, 3]`, as three equal channels."""
    luminance = np.rint(picture.astype(np.float32) @ TO_YCBCR[0]).astype(np.uint8)
    return np.repeat(luminance[..., None], 3, axis=2)


def other_hues(picture: Picture, name: str) -> Picture:
    """`picture` with all hues turned by one angle of 60 to 300 degrees, which depends on `name`."""
    angle = np.pi / 3 * (1 + 4 * hash_fraction(name))
    turn = np.array([[np.cos(angle), -np.sin(angle)], [np.sin(angle), np.cos(angle)]])
    values = _ycbcr(picture)
    values[..., 1:] = values[..., 1:] @ turn.T.astype(np.float32)
    turned = values @ np.linalg.inv(TO_YCBCR).T * 255
    return np.asarray(np.clip(np.rint(turned), 0, 255), np.uint8)


def _ycbcr(picture: Picture) -> Floats:
    """Y 0..1, Cb and Cr -0.5..0.5."""
    return np.asarray(picture.astype(np.float32) / 255 @ TO_YCBCR.T, np.float32)
