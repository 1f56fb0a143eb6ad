"""Measure paired translations: how close they are to the truth, compared with copying and with memorising."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from img2img.data.folders import Reading
from img2img.data.pairs import Pair, find_pairs
from img2img.errors import DataError
from img2img.evaluation import samples
from img2img.evaluation.memorisation import TrainingPictures, thumbnail
from img2img.evaluation.metrics import psnr, ssim
from img2img.evaluation.results import (
    MAX_PSNR,
    Case,
    Distances,
    Figure,
    Picture,
    Ratio,
    gradient,
    no_distances,
    spread,
)
from img2img.evaluation.samples import Translate
from img2img.runtime.image.resize import lanczos

if TYPE_CHECKING:
    from img2img.evaluation.fcn_score import FCNScore
    from img2img.runtime.network.input_size import Size
    from img2img.runtime.network.network import Network
    from img2img.types import Floats


def figures(result: Picture, truth: Picture) -> dict[str, Figure]:
    """Compare a result with the truth. Both are uint8 RGB of the same size.

    Returns:
        l1: 0..1, lower is better.
        psnr: in dB, at most 100.
        ssim: on RGB.
        sharpness: mean gradient divided by that of the truth. Below 1 the result is blurred, above 1 it is noisy.

    Raises:
        DataError: a side is below 11 pixels, or the sizes differ.
    """
    try:
        similarity = ssim(result, truth)
    except ValueError as error:
        raise DataError(f"two pictures cannot be compared: {error}") from error
    return {
        "l1": float(np.abs(result.astype(np.float64) - truth).mean()) / 255,
        "psnr": min(psnr(result, truth), MAX_PSNR),
        "ssim": similarity,
        "sharpness": Ratio(gradient(result), gradient(truth)),
    }


def from_model(
    model: "Network",
    size: "Size" = "keep",
    reference: "Floats | None" = None,
    codes: "Sequence[Floats | None]" = (None,),
) -> Translate:
    """Translate like `img2img translate`, with this `--size` and, for models that take one, this reference.

    Args:
        reference, codes: `reference` and `latent` of `runtime.tasks.translate.translate`. There is one result per code;
            None is a code of zeros, or none.
    """
    from img2img.runtime.image import pictures as runtime
    from img2img.runtime.tasks import translate

    def run(picture: Picture, to: str) -> list[Picture]:
        results = []
        for code in codes:
            source = runtime.Picture(picture)
            result = translate.translate(model, source, to=to or (), size=size, reference=reference, latent=code)
            results.append(np.asarray(result.colour, np.uint8))
        return results

    return run


@dataclass(frozen=True)
class PairSet:
    """Pairs to measure, and training pairs to find the nearest in. `about` describes the layout of the files."""

    measured: list[Pair]
    training: list[Pair]
    about: str


def pairs(
    folders: Sequence[Path], *, train: Sequence[Path] = (), held_out: bool = False, count: int | None = None
) -> PairSet:
    """The pairs in `folders` (see `data.pairs.find_pairs`).

    Args:
        train: folders with training pairs. If empty and `held_out` is set, the pairs of `folders` that are not held
            out are the training pairs.
        held_out: measure only the pairs that a training on these folders holds out.
        count: measure at most so many, evenly spread.

    Raises:
        DataError: as `find_pairs`.
    """
    found = find_pairs(folders)
    measured = found.test if held_out else found.train + found.test
    training = found.train if held_out else []
    if train:
        other = find_pairs(train)
        training = other.train + other.test
    measured_paths = {(pair.input, pair.target) for pair in measured}
    training = [pair for pair in training if (pair.input, pair.target) not in measured_paths]
    return PairSet(spread(measured, count), training, found.layout)


class Comparison:
    """Translates the input of each pair and compares the result with the target.

    Baselines are copying the input and, with training pairs, the target of the nearest one. Targets are resized to
    their inputs, as in training.

    Args:
        candidates: translate an input.
        score: for label maps, also compute the FCN-score.
        distances: further distances to the truth.
    """

    def __init__(
        self,
        candidates: Mapping[str, Translate],
        data: PairSet,
        reading: Reading = Reading(),
        *,
        score: "FCNScore | None" = None,
        distances: Distances = no_distances,
    ) -> None:
        self.candidates = candidates
        self.data = data
        self.reading = reading
        self.score = score
        self.distances = distances

    def cases(self) -> Iterator[Case]:
        """One case per pair. The sheet shows the training target that is most similar to the last candidate's result.

        Figures:
            those of `figures`, and for candidates with several results, of `samples.figures`.
            novelty: see `memorisation.TrainingPictures`; only with training pairs.
            pixel_accuracy: see `fcn_score.Confusion.figures`; only with `score`.

        Raises:
            PictureError, DataError: a picture cannot be read, or is too small.
        """
        training, reading = self.data.training, self.reading
        nearest = Nearest(training, reading) if training else None
        known = TrainingPictures([partial(_target, pair, reading) for pair in training]) if training else None
        for pair in self.data.measured:
            source, truth = pair.read(reading)
            source, truth = np.ascontiguousarray(source), np.ascontiguousarray(truth)
            size = (source.shape[1], source.shape[0])
            truth = lanczos(truth, size)
            results: dict[str, list[Picture]] = {}
            if nearest is not None:
                results["nearest"] = [lanczos(nearest(source), size)]
            for name, translate in self.candidates.items():
                results[name] = translate(source, "")
            pictures = {"input": source, **samples.shown(results), "truth": truth}
            results = {"copy": [source], **results}
            compare = partial(compared, truth=truth, known=known, distances=self.distances)
            scores = {name: samples.figures(made, compare, self.distances) for name, made in results.items()}
            if self.score is not None:
                self.score.add("real", [truth], source)
                for name, made in results.items():
                    scores[name]["pixel_accuracy"] = Ratio(*self.score.add(name, made, source))
            if known is not None:
                pictures["in training"] = lanczos(known.nearest(list(results.values())[-1][0]), size)
            yield Case(pair.name, scores, pictures)

    def set_figures(self) -> dict[str, dict[str, float]]:
        """The FCN-score of all results together, once all `cases` have been consumed: candidate -> name -> figure.

        "real" has the score of the targets themselves. Empty without `score`.
        """
        return {} if self.score is None else self.score.figures()


class Nearest:
    """A baseline that only memorises: returns the target of the training pair with the most similar input.

    Inputs are compared by the Euclidean distance of their thumbnails.
    """

    def __init__(self, pairs: Sequence[Pair], reading: Reading = Reading()) -> None:
        self.pairs, self.reading = pairs, reading
        self._thumbnails = np.stack([thumbnail(pair.read_input(reading)) for pair in pairs])

    def __call__(self, source: Picture) -> Picture:
        """The target, uint8 RGB at its own size."""
        place = int(((self._thumbnails - thumbnail(source)) ** 2).sum(1).argmin())
        return _target(self.pairs[place], self.reading)


def _target(pair: Pair, reading: Reading) -> Picture:
    return np.ascontiguousarray(pair.read(reading)[1])


def compared(
    result: Picture, *, truth: Picture, known: TrainingPictures | None, distances: Distances
) -> dict[str, Figure]:
    """The `figures` and further distances of a result, and its novelty if there are training pictures."""
    novelty = {} if known is None else {"novelty": known.novelty(result, truth)}
    return figures(result, truth) | distances(result, truth) | novelty
