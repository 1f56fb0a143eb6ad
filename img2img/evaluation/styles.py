"""How near translations come to the truth where things are drawn in several styles, and whether the style is right."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from img2img.data.domains import Labelled, LabelSet, find_domains
from img2img.data.folders import read_rgb
from img2img.errors import DataError
from img2img.evaluation.cases import Case, Figure, Picture, mean, spread
from img2img.evaluation.recognition import Recogniser
from img2img.evaluation.translation import Translate, figures
from img2img.runtime.image.resize import lanczos


@dataclass(frozen=True)
class Styles:
    """Things drawn in several styles.

    Attributes:
        names: of the styles.
        drawn: thing -> style -> file, of the things to measure with; a thing need not have all styles.
        training: style -> files of other drawings, to learn the styles from; empty lists where there are none.
    """

    names: tuple[str, ...]
    drawn: dict[str, dict[str, Path]]
    training: dict[str, list[Path]]

    @property
    def directions(self) -> list[tuple[str, str]]:
        """The ordered pairs of styles, from and to."""
        return [(one, other) for one in self.names for other in self.names if one != other]


def styles(
    folders: Sequence[Path],
    names: tuple[str, ...],
    *,
    train: Sequence[Path] = (),
    held_out: bool = False,
    count: int | None = None,
) -> Styles:
    """The drawings of `folders` (see `data.domains.find_domains`) in the styles `names`, a folder a style.

    Args:
        train: where the training drawings are; empty: those of `folders` that are not held out, if `held_out`.
        held_out: measure only the drawings that a training on these folders holds out.
        count: measure at most so many things, evenly spread.

    Raises:
        DataError: as `find_domains`; there is a table of attributes in place of folders; no name is in two folders.
    """
    one = _exclusive(folders, names)
    measured = one.held if held_out else one.train + one.held
    drawn: dict[str, dict[str, Path]] = {}
    for item in measured:
        drawn.setdefault(item.name, {})[_style(item, names)] = item.path
    shared = {thing: files for thing, files in sorted(drawn.items()) if len(files) > 1}
    if not shared:
        raise DataError(
            f"{folders[0]}: no picture has the same name in two of {', '.join(names)}: nothing to compare with"
        )
    others = one.train if held_out else []
    if train:
        known = _exclusive(train, names)
        others = known.train + known.held
    own = {item.path for item in measured}
    training: dict[str, list[Path]] = {name: [] for name in names}
    for item in others:
        if item.path not in own:
            training[_style(item, names)].append(item.path)
    return Styles(names, {thing: shared[thing] for thing in spread(list(shared), count)}, training)


def evaluate_styles(ways: Mapping[str, Translate], data: Styles, recogniser: Recogniser | None) -> Iterator[Case]:
    """A case for each direction: the mean `figures` of copying and of `ways` against the true drawings, and, with a
    recogniser, `recognised`: the share of results that it takes for real drawings of the wanted style.

    Raises:
        PictureError, DataError: a picture cannot be read, or is too small.
    """
    for number, (origin, wanted) in enumerate(data.directions):
        both = [files for files in data.drawn.values() if origin in files and wanted in files]
        results: dict[str, list[Picture]] = {}
        scores: dict[str, list[dict[str, Figure]]] = {}
        shown: dict[str, Picture] = {}
        for place, files in enumerate(both):
            source = read_rgb(files[origin])
            truth = lanczos(read_rgb(files[wanted]), (source.shape[1], source.shape[0]))
            made = {"copy": source} | {way: translate(source, wanted) for way, translate in ways.items()}
            for way, result in made.items():
                results.setdefault(way, []).append(result)
                scores.setdefault(way, []).append(figures(result, truth))
            if place == number % len(both):
                shown = {"input": source, **{way: made[way] for way in ways}, "truth": truth}
        if not both:
            continue
        found: dict[str, dict[str, Figure]] = {way: dict(mean(one)) for way, one in scores.items()}
        if recogniser is not None:
            for way, one in results.items():
                found[way]["recognised"] = float(np.mean(recogniser(one) == data.names.index(wanted)))
        yield Case(f"{origin} > {wanted}", found, shown)


def real_accuracy(recogniser: Recogniser, data: Styles) -> float:
    """The share of the real measured drawings whose style is recognised, every style counting alike."""
    shares = []
    for place, name in enumerate(data.names):
        real = [read_rgb(files[name]) for files in data.drawn.values() if name in files]
        if real:
            shares.append(float(np.mean(recogniser(real) == place)))
    return float(np.mean(shares))


def _exclusive(folders: Sequence[Path], names: tuple[str, ...]) -> LabelSet:
    sets = find_domains(folders, attributes=names).sets
    if len(sets) != 1 or not sets[0].exclusive:
        raise DataError(f"{folders[0]}: give one folder with a sub-folder for each of {', '.join(names)}")
    return sets[0]


def _style(item: Labelled, names: tuple[str, ...]) -> str:
    return names[int(item.label.argmax())]
