"""How near translations come to real pictures of the wanted side where no picture has its like on the other side."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from img2img.data import folders, layouts
from img2img.data.folders import read_rgb
from img2img.data.unpaired import find_unpaired
from img2img.errors import DataError
from img2img.evaluation import inception
from img2img.evaluation.cases import Case, Figure, Picture, spread
from img2img.evaluation.distribution import COARSEST, sliced_wasserstein
from img2img.evaluation.kernel_distance import kid
from img2img.evaluation.recognition import Recogniser
from img2img.evaluation.translation import Translate
from img2img.runtime.image.resize import lanczos

FEWEST = 3
"""Pictures of a side that can be measured with."""
ASIDE = 5
"""At most one in so many of the training pictures of the wanted side is kept from the classifier."""
SIDE = 256
"""Longest side in pixels of the squares that sliced Wasserstein distance is measured on."""
SQUARES = 200
"""As many of them, evenly spread over a set."""

Extract = Callable[[Sequence[Picture]], NDArray[np.float32]]
"""Feature vectors `[N, D]` of pictures."""


@dataclass(frozen=True)
class Sides:
    """Pictures of the side that is translated and of the wanted one.

    Attributes:
        inputs: what is translated.
        real: pictures of the wanted side, to compare with.
        training: real pictures of both sides, to learn from which is which.
        aside: training pictures of the wanted side that are not learned from: how near real pictures come.
    """

    inputs: list[Path]
    real: list[Path]
    training: tuple[list[Path], list[Path]]
    aside: list[Path]


def sides(
    data: Sequence[Path],
    real: Path,
    *,
    train: Sequence[Path] = (),
    held_out: bool = False,
    count: int | None = None,
) -> Sides:
    """The pictures of the folders `data` (the inputs) and `real` (the wanted side).

    Args:
        train: two folders of training pictures, of the inputs' side and of the wanted one; empty: those of `data` and
            `real` that are not held out, if `held_out`.
        held_out: measure only the pictures that a training on the two folders holds out.
        count: measure with at most so many of each side, evenly spread.

    Raises:
        DataError: a folder is missing or holds too few pictures; nothing is left to learn from.
    """
    if held_out:
        found = find_unpaired([data[0], real])
        inputs, wanted = ([named.path for named in side] for side in found.held)
        training = [[named.path for named in side] for side in found.train]
    else:
        inputs, wanted, training = folders.find(data), folders.find([real]), [[], []]
    if train:
        training = [folders.find([folder]) for folder in train]
    inputs, wanted = spread(inputs, count), spread(wanted, count)
    measured = {path.resolve() for path in (*inputs, *wanted)}
    first, second = ([path for path in one if path.resolve() not in measured] for one in training)
    aside = layouts.at_most(second, [path.stem for path in second], min(len(wanted), len(second) // ASIDE))
    for what, paths in ((data[0], inputs), (real, wanted), ("the training pictures of the wanted side", aside)):
        if len(paths) < FEWEST:
            least = FEWEST * (ASIDE if paths is aside else 1)
            raise DataError(f"{what}: too few pictures to measure a distance with; give {least} or more")
    if not first:
        raise DataError("no training pictures of the inputs' side are left beside those that are measured")
    kept = set(aside)
    return Sides(inputs, wanted, (first, [path for path in second if path not in kept]), aside)


class Comparison:
    """Translates, asks a classifier of each result, and measures how far all results are from the real pictures.

    Args:
        ways: what turns a picture to the wanted side.
        to: the domain that they are asked for; "": they have but one.
        recogniser: has learned from `data.training`.
        published: features that KID and FID are measured in beside the recogniser's own.

    Raises:
        PictureError: a picture cannot be read.
        DataError: the recogniser takes either side for the other.
    """

    def __init__(
        self,
        ways: Mapping[str, Translate],
        data: Sides,
        recogniser: Recogniser,
        *,
        to: str = "",
        published: Extract | None = None,
    ) -> None:
        self.ways = ways
        self.data = data
        self.recogniser = recogniser
        self.to = to
        self.networks: dict[str, Extract] = {"own": recogniser.features}
        if published is not None:
            self.networks["inception"] = published
        self._real = _Seen(self.networks, len(data.real))
        known = [
            np.concatenate([recogniser([picture]) for picture in pictures]) == side
            for side, pictures in enumerate((map(read_rgb, data.inputs), self._real.seeing(data.real)))
        ]
        self.accuracy = float(np.mean([found.mean() for found in known]))
        """Share of the real measured pictures whose side is recognised, both sides counting alike."""
        if max(found.mean() for found in known) < 0.5:
            raise DataError(
                f"the classifier mistakes {1 - self.accuracy:.0%} of the real pictures for those of the other side: "
                "give the training pictures of the inputs' side first, then those of the wanted side"
            )
        self._made = {way: _Seen(self.networks, len(data.inputs)) for way in ("copy", *ways)}

    def cases(self) -> Iterator[Case]:
        """A case for each input: `recognised`, 1 where the classifier takes the result for the wanted side, or 0.

        Raises:
            PictureError, DataError: a picture cannot be read, or is too small.
        """
        for place, path in enumerate(self.data.inputs):
            source = read_rgb(path)
            made = {"copy": source} | {way: translate(source, self.to) for way, translate in self.ways.items()}
            for way, result in made.items():
                self._made[way].add(result)
            found = self.recogniser(list(made.values()))
            figures: dict[str, dict[str, Figure]] = {
                way: {"recognised": float(side == 1)} for way, side in zip(made, found, strict=True)
            }
            shown = {"input": source, **{way: made[way] for way in self.ways}}
            yield Case(path.name, figures, {**shown, "real": read_rgb(self.data.real[place % len(self.data.real)])})

    def whole(self) -> dict[str, dict[str, float]]:
        """What all results together are to the real pictures, by way, once all `cases` have been seen; and as "real",
        what other real pictures are: about what a perfect translator would reach. Lower is better.

        `kid_own` (in the recogniser's features; see `kernel_distance.kid`) with `kid_own_error`, `swd`, and where
        there are published features the figures of `inception.distances`.
        """
        aside = _Seen(self.networks, len(self.data.aside))
        for path in self.data.aside:
            aside.add(read_rgb(path))
        sets = {**self._made, "real": aside}
        side = min(len(square) for seen in (self._real, *sets.values()) for square in seen.squares)
        real = self._real.reduced(side)
        return {
            way: {**_likeness(self._real, seen), "swd": sliced_wasserstein(seen.reduced(side), real)}
            for way, seen in sets.items()
        }


class _Seen:
    """What is kept of a set of `count` pictures."""

    def __init__(self, networks: Mapping[str, Extract], count: int) -> None:
        self.networks = networks
        self._places = iter(range(count))
        self._kept = set(spread(range(count), SQUARES))
        self.squares: list[Picture] = []
        self._features: dict[str, list[NDArray[np.float32]]] = {name: [] for name in networks}

    def add(self, picture: Picture) -> None:
        edge = min(picture.shape[:2])
        if edge < COARSEST:
            raise DataError(f"a side of {edge} pixels is too short to measure a distance with: {COARSEST} or more")
        if next(self._places) in self._kept:
            top, left = ((length - edge) // 2 for length in picture.shape[:2])
            square = np.ascontiguousarray(picture[top : top + edge, left : left + edge])
            self.squares.append(lanczos(square, (min(edge, SIDE),) * 2))
        for name, extract in self.networks.items():
            self._features[name].append(extract([picture]))

    def seeing(self, paths: Sequence[Path]) -> Iterator[Picture]:
        """The pictures of `paths`, each added before it is given on."""
        for path in paths:
            picture = read_rgb(path)
            self.add(picture)
            yield picture

    def reduced(self, side: int) -> list[Picture]:
        """The squares, brought to `side` pixels."""
        return [lanczos(one, (side, side)) for one in self.squares]

    def features(self, network: str) -> NDArray[np.float32]:
        return np.concatenate(self._features[network])


def _likeness(real: _Seen, made: _Seen) -> dict[str, float]:
    own = kid(real.features("own"), made.features("own"))
    figures = {"kid_own": own.value, "kid_own_error": own.error}
    if "inception" in real.networks:
        figures |= inception.distances(real.features("inception"), made.features("inception"))
    return figures
