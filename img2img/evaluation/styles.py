"""Measure translations between styles: how close they are to the true drawing, and whether the style is right."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import numpy as np

from img2img.data.domains import LabelledPicture, LabelSet, find_domains
from img2img.data.folders import Reading, read_rgb
from img2img.errors import DataError
from img2img.evaluation import samples
from img2img.evaluation.domain_classifier import DomainClassifier
from img2img.evaluation.memorisation import TrainingPictures
from img2img.evaluation.results import Case, Distances, Figure, Picture, mean, no_distances, spread
from img2img.evaluation.samples import Translate
from img2img.evaluation.translation import compared
from img2img.runtime.image.resize import lanczos


@dataclass(frozen=True)
class Styles:
    """The same things drawn in several styles.

    Attributes:
        names: names of the styles.
        drawn: thing -> style -> file, of the things to measure. A thing may lack some styles.
        training: style -> files of other drawings, to train a classifier on; may be empty.
    """

    names: tuple[str, ...]
    drawn: dict[str, dict[str, Path]]
    training: dict[str, list[Path]]

    @property
    def directions(self) -> list[tuple[str, str]]:
        """All pairs of different styles, (from, to)."""
        return [(source, target) for source in self.names for target in self.names if source != target]


def styles(
    folders: Sequence[Path],
    names: tuple[str, ...],
    *,
    train: Sequence[Path] = (),
    held_out: bool = False,
    count: int | None = None,
) -> Styles:
    """The drawings in `folders` (see `data.domains.find_domains`), with one sub-folder for each style in `names`.

    Args:
        train: folders with training drawings. If empty and `held_out` is set, the drawings of `folders` that are not
            held out are the training drawings.
        held_out: measure only the drawings that a training on these folders holds out.
        count: measure at most so many things, evenly spread.

    Raises:
        DataError: as `find_domains`; or there is a table of attributes instead of folders; or no name occurs in two
            folders.
    """
    labels = _exclusive_labels(folders, names)
    measured = labels.held_out if held_out else labels.train + labels.held_out
    drawn: dict[str, dict[str, Path]] = {}
    for item in measured:
        drawn.setdefault(item.name, {})[_style(item, names)] = item.path
    comparable = {thing: files for thing, files in sorted(drawn.items()) if len(files) > 1}
    if not comparable:
        raise DataError(
            f"{folders[0]}: no picture has the same name in two of {', '.join(names)}, so there is nothing to compare",
            path=folders[0],
        )
    others = labels.train if held_out else []
    if train:
        training_labels = _exclusive_labels(train, names)
        others = training_labels.train + training_labels.held_out
    measured_paths = {item.path for item in measured}
    training: dict[str, list[Path]] = {name: [] for name in names}
    for item in others:
        if item.path not in measured_paths:
            training[_style(item, names)].append(item.path)
    return Styles(names, {thing: comparable[thing] for thing in spread(list(comparable), count)}, training)


def evaluate_styles(
    candidates: Mapping[str, Translate],
    data: Styles,
    classifier: DomainClassifier | None,
    reading: Reading = Reading(),
    distances: Distances = no_distances,
) -> Iterator[Case]:
    """One case per direction: the mean of `translation.figures` of copying the input and of each candidate's samples,
    against the true drawings.

    With a classifier there is also `recognised`: the share of results that it assigns to the target style. With
    training drawings of all styles there is also `novelty`, see `memorisation.TrainingPictures`. `distances` adds
    further distances to the truth.

    Raises:
        PictureError, DataError: a picture cannot be read, or is too small.
    """
    known = {}
    if all(data.training.values()):
        for name, paths in data.training.items():
            known[name] = TrainingPictures([partial(read_rgb, path, reading) for path in paths])
    for number, (source_style, target_style) in enumerate(data.directions):
        things = [files for files in data.drawn.values() if source_style in files and target_style in files]
        if not things:
            continue
        results: dict[str, list[Picture]] = {}
        scores: dict[str, list[dict[str, Figure]]] = {}
        pictures: dict[str, Picture] = {}
        for place, files in enumerate(things):
            source = read_rgb(files[source_style], reading)
            truth = lanczos(read_rgb(files[target_style], reading), (source.shape[1], source.shape[0]))
            translated = {name: translate(source, target_style) for name, translate in candidates.items()}
            compare = partial(compared, truth=truth, known=known.get(target_style), distances=distances)
            for name, made in {"copy": [source], **translated}.items():
                results.setdefault(name, []).extend(made)
                scores.setdefault(name, []).append(samples.figures(made, compare, distances))
            if place == number % len(things):  # a different thing for each direction
                pictures = {"input": source, **samples.shown(translated), "truth": truth}
                if known:
                    pictures["in training"] = known[target_style].nearest(list(translated.values())[-1][0])
        means: dict[str, dict[str, Figure]] = {name: dict(mean(one)) for name, one in scores.items()}
        if classifier is not None:
            for name, made in results.items():
                means[name]["recognised"] = float(np.mean(classifier(made) == data.names.index(target_style)))
        yield Case(f"{source_style} > {target_style}", means, pictures)


def real_accuracy(classifier: DomainClassifier, data: Styles, reading: Reading = Reading()) -> float:
    """The share of the real measured drawings whose style the classifier recognises. All styles have equal weight."""
    shares = []
    for index, name in enumerate(data.names):
        real = [read_rgb(files[name], reading) for files in data.drawn.values() if name in files]
        if real:
            shares.append(float(np.mean(classifier(real) == index)))
    return float(np.mean(shares))


def _exclusive_labels(folders: Sequence[Path], names: tuple[str, ...]) -> LabelSet:
    sets = find_domains(folders, attributes=names).sets
    if len(sets) != 1 or not sets[0].exclusive:
        raise DataError(
            f"{folders[0]}: give one folder with one sub-folder for each of {', '.join(names)}", path=folders[0]
        )
    return sets[0]


def _style(item: LabelledPicture, names: tuple[str, ...]) -> str:
    return names[int(item.label.argmax())]
