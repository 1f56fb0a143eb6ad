"""Measure translations without pairs: how close the results are to real pictures of the target domain."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from img2img.data import folders, layouts
from img2img.data.folders import Reading, read_rgb
from img2img.data.unpaired import find_unpaired
from img2img.errors import DataError
from img2img.evaluation import inception, neighbourhoods, samples
from img2img.evaluation.domain_classifier import DomainClassifier
from img2img.evaluation.inception import Inception
from img2img.evaluation.kernel_distance import kid
from img2img.evaluation.memorisation import TrainingPictures
from img2img.evaluation.results import Case, Figure, Picture, spread
from img2img.evaluation.samples import Translate
from img2img.evaluation.sliced_wasserstein import MIN_SIDE, sliced_wasserstein
from img2img.runtime.image.resize import lanczos
from img2img.text import nfc

MIN_PICTURES = 3
"""Fewest pictures of a domain that can be measured."""
ASIDE = 5
"""At most one in so many training pictures of the target domain is kept from the classifier."""
SIDE = 256
"""Longest side in pixels of the squares for the sliced Wasserstein distance."""
MAX_SQUARES = 200
"""The most squares per set, evenly spread over it."""

Extract = Callable[[Sequence[Picture]], NDArray[np.float32]]
"""Extracts feature vectors `[N, D]` from pictures."""


@dataclass(frozen=True)
class DomainPair:
    """Pictures of the source domain and of the target domain.

    Attributes:
        inputs: pictures to translate.
        real: pictures of the target domain to compare with.
        training: real pictures of both domains, to train a classifier on.
        aside: training pictures of the target domain that the classifier does not see. Their distance to `real` shows
            what other real pictures reach.
    """

    inputs: list[Path]
    real: list[Path]
    training: tuple[list[Path], list[Path]]
    aside: list[Path]


def domain_pair(
    data: Sequence[Path],
    real: Path,
    *,
    train: Sequence[Path] = (),
    held_out: bool = False,
    count: int | None = None,
) -> DomainPair:
    """The pictures in the folders `data` (source domain) and `real` (target domain).

    Args:
        train: two folders with training pictures, of the source domain and of the target domain. If empty and
            `held_out` is set, the pictures of `data` and `real` that are not held out are the training pictures.
        held_out: measure only the pictures that a training on the two folders holds out.
        count: measure at most so many pictures of each domain, evenly spread.

    Raises:
        DataError: a folder is missing or has too few pictures, or no training pictures are left.
    """
    if held_out:
        found = find_unpaired([data[0], real])
        inputs, targets = ([named.path for named in domain] for domain in found.held_out)
        training = [[named.path for named in domain] for domain in found.train]
    else:
        inputs, targets, training = folders.find(data), folders.find([real]), [[], []]
    if train:
        training = [folders.find([folder]) for folder in train]
    inputs, targets = spread(inputs, count), spread(targets, count)
    measured = {path.resolve() for path in (*inputs, *targets)}
    source_training, target_training = (
        [path for path in paths if path.resolve() not in measured] for paths in training
    )
    aside_count = min(len(targets), len(target_training) // ASIDE)
    aside = layouts.at_most(target_training, [nfc(path.stem) for path in target_training], aside_count)
    for where, paths, least in (
        (data[0], inputs, MIN_PICTURES),
        (real, targets, MIN_PICTURES),
        ("the training pictures of the target domain", aside, MIN_PICTURES * ASIDE),
    ):
        if len(paths) < MIN_PICTURES:
            raise DataError(f"{where}: too few pictures to measure a distance; give {least} or more")
    if not source_training:
        raise DataError("no training pictures of the source domain are left: all of them are measured")
    is_aside = set(aside)
    target_training = [path for path in target_training if path not in is_aside]
    return DomainPair(inputs, targets, (source_training, target_training), aside)


class Comparison:
    """Translates pictures, classifies each result, and measures the distance of all results to real pictures.

    Args:
        candidates: translate a picture to the target domain.
        classifier: trained on `data.training`.
        to: the target domain, as the candidates call it; "" if they have only one.
        published: also compute KID, FID and the Inception score with this network.

    Attributes:
        accuracy: share of the real measured pictures that the classifier recognises. Both domains have equal weight.

    Raises:
        PictureError: a picture cannot be read.
        DataError: the classifier confuses the two domains.
    """

    def __init__(
        self,
        candidates: Mapping[str, Translate],
        data: DomainPair,
        classifier: DomainClassifier,
        *,
        to: str = "",
        published: Inception | None = None,
        reading: Reading = Reading(),
    ) -> None:
        self.candidates = candidates
        self.data = data
        self.classifier = classifier
        self.to, self.reading = to, reading
        self.published = published
        self.extractors: dict[str, Extract] = {"own": classifier.features}
        if published is not None:
            self.extractors["inception"] = published
        self._real = _PictureSet(self.extractors, len(data.real))
        inputs = (read_rgb(path, reading) for path in data.inputs)
        shares = [
            float(np.mean([classifier([picture])[0] == domain for picture in pictures]))
            for domain, pictures in enumerate((inputs, self._real.add_all(data.real, reading)))
        ]
        self.accuracy = float(np.mean(shares))
        if max(shares) < 0.5:
            raise DataError(
                f"the classifier takes {1 - self.accuracy:.0%} of the real pictures for the other domain: give the"
                " training pictures of the source domain first, then those of the target domain"
            )
        targets = (*data.training[1], *data.aside)
        self._known = TrainingPictures([partial(read_rgb, path, reading) for path in targets])
        self._made = {name: _PictureSet(self.extractors, len(data.inputs)) for name in ("copy", *candidates)}

    def cases(self) -> Iterator[Case]:
        """One case per input.

        Figures:
            recognised: 1 if the classifier assigns the result to the target domain, else 0.
            novelty: see `memorisation.TrainingPictures`, compared with real measured pictures.
            samples_apart: see `samples.figures`; only for candidates with several results.

        Raises:
            PictureError, DataError: a picture cannot be read, or is too small.
        """
        for place, path in enumerate(self.data.inputs):
            source = read_rgb(path, self.reading)
            translated = {name: translate(source, self.to) for name, translate in self.candidates.items()}
            results = {"copy": [source], **translated}
            real = read_rgb(self.data.real[place % len(self.data.real)], self.reading)
            compare = partial(self._compared, real=real)
            scores = {}
            for name, made in results.items():
                self._made[name].add(made)
                scores[name] = samples.figures(made, compare)
            pictures = {"input": source, **samples.shown(translated), "real": real}
            nearest = self._known.nearest(list(results.values())[-1][0])
            yield Case(path.name, scores, {**pictures, "in training": nearest})

    def _compared(self, result: Picture, *, real: Picture) -> dict[str, Figure]:
        recognised = float(self.classifier([result])[0] == 1)
        return {"recognised": recognised, "novelty": self._known.novelty(result, real)}

    def set_figures(self) -> dict[str, dict[str, float]]:
        """Figures of all results together, once all `cases` have been consumed: candidate -> name -> figure.

        "real" has the figures of the real pictures set aside, about what a perfect model would reach.

        Figures:
            kid_own, kid_own_error: KID on the features of the classifier, see `kernel_distance.kid`; lower is better.
            precision, recall, density, coverage: in the same features, see `neighbourhoods.figures`; higher is better.
            swd: sliced Wasserstein distance; lower is better.
            kid_inception, kid_inception_error, fid_inception: see `inception.distances`; only with `published`.
            inception_score: see `inception.score`; only with `published`.
        """
        aside = _PictureSet(self.extractors, len(self.data.aside))
        for path in self.data.aside:
            aside.add([read_rgb(path, self.reading)])
        sets = {**self._made, "real": aside}
        side = min(len(square) for one in (self._real, *sets.values()) for square in one.squares)
        real_squares = self._real.resized_squares(side)
        return {
            name: {
                **self._in_features(one),
                "swd": sliced_wasserstein(one.resized_squares(side), real_squares),
            }
            for name, one in sets.items()
        }

    def _in_features(self, made: "_PictureSet") -> dict[str, float]:
        real = self._real
        features = real.features("own"), made.features("own")
        own = kid(*features)
        figures = {"kid_own": own.value, "kid_own_error": own.error} | neighbourhoods.figures(*features)
        if self.published is not None:
            figures |= inception.distances(real.features("inception"), made.features("inception"))
            figures["inception_score"] = inception.score(made.features("inception"), self.published.last)
        return figures


class _PictureSet:
    """What is kept of the results of `count` pictures: features of all, and squares of some."""

    def __init__(self, extractors: Mapping[str, Extract], count: int) -> None:
        self.extractors = extractors
        self._added = 0
        self._places_with_squares = set(spread(range(count), MAX_SQUARES))
        self.squares: list[Picture] = []
        self._features: dict[str, list[NDArray[np.float32]]] = {name: [] for name in extractors}

    def add(self, pictures: Sequence[Picture]) -> None:
        """Keep the features of the next picture or its samples, and perhaps the central square of the first."""
        picture = pictures[0]
        edge = min(picture.shape[:2])
        if edge < MIN_SIDE:
            raise DataError(f"a picture with a side of {edge} pixels is too small to measure; {MIN_SIDE} are needed")
        if self._added in self._places_with_squares:
            top, left = ((length - edge) // 2 for length in picture.shape[:2])
            square = np.ascontiguousarray(picture[top : top + edge, left : left + edge])
            side = min(edge, SIDE)
            self.squares.append(lanczos(square, (side, side)))
        self._added += 1
        for name, extract in self.extractors.items():
            self._features[name].append(extract(pictures))

    def add_all(self, paths: Sequence[Path], reading: Reading) -> Iterator[Picture]:
        """Read the pictures at `paths`, add each, and yield it."""
        for path in paths:
            picture = read_rgb(path, reading)
            self.add([picture])
            yield picture

    def resized_squares(self, side: int) -> list[Picture]:
        return [lanczos(square, (side, side)) for square in self.squares]

    def features(self, extractor: str) -> NDArray[np.float32]:
        return np.concatenate(self._features[extractor])
