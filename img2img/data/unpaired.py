"""Two domains without pairs: finds their pictures and provides CycleGAN's data set."""

import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal, NamedTuple, Self

import numpy as np
from numpy.typing import NDArray
from pydantic import Field
from torch import Tensor
from torch.utils.data import Dataset

from img2img.data import folders, jitter, layouts, order
from img2img.data.augment import augment
from img2img.data.cache import Cache, default_limit_mb, read_all
from img2img.data.jitter import JitterSection, Window
from img2img.data.layouts import NamedPicture
from img2img.errors import DataError
from img2img.text import count_of

Pixels = NDArray[np.uint8]

Truth = Literal["auto", "names", "none"]

MAX_HELD_OUT = 200
"""Largest number of held-out pictures per side kept for validation."""


class UnpairedData(JitterSection):
    """Two folders of pictures that need not be pairs."""

    folders: tuple[Path, ...] = Field(
        min_length=1,
        max_length=2,
        description="one folder with A and B (A/ B/, or trainA/ trainB/), or two folders, first A, then B",
    )
    validation: tuple[Path, ...] = Field(
        default=(),
        max_length=2,
        description="held-out pictures, given like folders; empty: val or test, or a twentieth",
    )
    truth: Truth = Field(
        default="auto",
        description="whether held-out pictures of A and B with the same name show the same thing, so that results can "
        "be compared: names: yes; none: no; auto: if most names agree and are not just numbers",
    )


@dataclass(frozen=True)
class UnpairedFiles:
    """The files found on both sides, for training and held out. `layout` describes what was recognised."""

    train: tuple[list[NamedPicture], list[NamedPicture]]
    held_out: tuple[list[NamedPicture], list[NamedPicture]]
    layout: str


class HeldOutPicture(NamedTuple):
    """A held-out picture, uint8 RGB `[crop, crop, 3]`."""

    name: str
    picture: Pixels


class UnpairedCrops(Dataset[dict[str, Tensor]]):
    """Endless items `{"a": uint8 [3, crop, crop], "b": uint8 [3, crop, crop]}`, each a pure function of (seed, index).

    Each side has its own jitter and its own order, a new permutation in each pass over that side. Pictures of A and B
    are thus combined at random, as in the code published with Zhu et al. 2017.
    """

    def __init__(self, a: Sequence[Pixels], b: Sequence[Pixels], settings: JitterSection, *, seed: int) -> None:
        self.sides = {"a": a, "b": b}
        self.settings = settings
        self.seed = seed

    def __len__(self) -> int:
        return order.ENDLESS

    def sources(self, index: int) -> list[tuple[Sequence[Any], int]]:
        """See `seen.Sourced`."""
        return [
            (pictures, order.shuffled_index(self.seed, index, len(pictures), stream=stream))
            for stream, pictures in enumerate(self.sides.values(), 1)
        ]

    def __getitem__(self, index: int) -> dict[str, Tensor]:
        rng = order.generator(self.seed, index)
        item: dict[str, Tensor] = {}
        for name, (pictures, place) in zip(self.sides, self.sources(index), strict=True):
            picture = pictures[place]
            window = Window.draw(rng, picture, self.settings.crop, flip=self.settings.flip)
            item[name] = jitter.to_tensor(window.cut(augment(self.settings.augment, rng, picture)))
        return item


@dataclass(frozen=True)
class UnpairedSet:
    """Unpaired data, read and checked.

    Attributes:
        dataset: the training data.
        held_out_a, held_out_b: validation data: whole pictures, resized to the size of the crop without jitter.
        truth: pairs of indices into `held_out_a` and `held_out_b` that show the same thing, so that a translation can
            be compared with it; empty if unknown.
        notes: sentences for the user before the first step.
    """

    dataset: UnpairedCrops
    held_out_a: list[HeldOutPicture]
    held_out_b: list[HeldOutPicture]
    truth: list[tuple[int, int]]
    notes: list[str]

    @classmethod
    def read(cls, data: UnpairedData, *, seed: int, held_out: int = MAX_HELD_OUT) -> Self:
        """Find, check and decode the pictures of `data`, with at most `held_out` held-out pictures per side.

        Raises:
            DataError: see `find_unpaired`; or a picture cannot be read, or is smaller than the crop with `load` 0.
                Messages name the files.
        """
        found = find_unpaired(data.folders, validation=data.validation)
        limit = (default_limit_mb() if data.cache_mb is None else data.cache_mb) // 2
        a, b = (Cache([n.path for n in side], Reader(data).load, limit_mb=limit) for side in found.train)
        chosen = [layouts.at_most(side, [n.name for n in side], min(held_out, MAX_HELD_OUT)) for side in found.held_out]
        held_a, held_b = (
            [HeldOutPicture(named.name, picture) for named, picture in zip(side, _whole(side, data), strict=True)]
            for side in chosen
        )
        truth = pairs_by_name(chosen[0], chosen[1], data.truth)
        notes = [*describe(found), *filter(None, [a.note, b.note])]
        notes += folders.dark_note([named.path for side in found.train for named in side], folders.Reading.of(data))
        if truth:
            notes.append(
                f"{count_of(len(truth), 'held-out picture')} with the same name on the other side: results are "
                "compared with them (set data.truth = none if they do not show the same thing)"
            )
        return cls(UnpairedCrops(a, b, data, seed=seed), held_a, held_b, truth, notes)


def find_unpaired(sources: Sequence[Path], *, validation: Sequence[Path] = ()) -> UnpairedFiles:
    """Find the sides: two folders, or one with `trainA trainB` and perhaps `valA valB` or `testA testB`, or `A B`.

    Without held-out pictures, `layouts.held_out_names` chooses from each side. A name that is held out on one side is
    held out on the other too, in case both show the same thing.

    Raises:
        DataError: no sides are recognised; A without B; one picture cannot serve for both training and validation.
    """
    sides = _sides(sources)
    train = _named_sides(sides.train)
    layout = f"two domains: {sides.layout}"
    if validation:
        held = _named_sides(_sides(validation).train)
        layout += f"; held out: {', '.join(map(str, validation))}"
    elif sides.held_out is not None:
        held = _named_sides(sides.held_out)
    else:
        chosen = [
            layouts.held_out_names([n.name for n in side], what=str(folder))
            for side, folder in zip(train, sides.train, strict=True)
        ]
        either = chosen[0] | chosen[1]
        held = tuple([n for n in side if n.name in either] for side in train)
        train = tuple([n for n in side if n.name not in either] for side in train)
        layout += "; held out by a hash of the name"
    for side, letter in zip(train, "AB", strict=True):
        if not side:
            raise DataError(f"{sides.layout}: no training pictures of {letter} are left")
    return UnpairedFiles((train[0], train[1]), (held[0], held[1]), layout)


def pairs_by_name(a: Sequence[NamedPicture], b: Sequence[NamedPicture], truth: Truth) -> list[tuple[int, int]]:
    """Return pairs of indices into `a` and `b` of pictures with the same name, if `truth` trusts the names.

    See `UnpairedData.truth`.
    """
    places = {named.name: place for place, named in enumerate(b)}
    both = [(place, places[named.name]) for place, named in enumerate(a) if named.name in places]
    trusted = truth == "names"
    if truth == "auto":
        trusted = 2 * len(both) >= min(len(a), len(b)) and not are_numbered([named.name for named in a])
    return both if trusted else []


def are_numbered(names: Sequence[str]) -> bool:
    """Return whether names are just numbers, with at most one word around them.

    Such names agree between any two folders.
    """
    return len({re.sub(r"\d+", "#", name) for name in names}) == 1 and all(
        len(re.findall(r"\d+", name)) == 1 for name in names
    )


def describe(found: UnpairedFiles) -> list[str]:
    """Summarise the pictures found, for the user."""
    train, held = ([len(side) for side in sides] for sides in (found.train, found.held_out))
    return [
        f"{count_of(train[0], 'training picture')} of A and {train[1]} of B, {held[0]} and {held[1]} held out",
        found.layout,
    ]


class Reader:
    """Reads pictures at the size from which crops are cut."""

    def __init__(self, data: JitterSection) -> None:
        self.data = data

    def load(self, path: Path) -> Pixels:
        picture = folders.read_rgb(path, folders.Reading.of(self.data))
        return jitter.resize(picture, *jitter.frame_size(picture, self.data, name=path))

    def load_whole(self, path: Path) -> Pixels:
        picture = folders.read_rgb(path, folders.Reading.of(self.data))
        frame = jitter.whole_frame_size(picture, self.data, name=path)
        return jitter.crop_centre(jitter.resize(picture, *frame), self.data.crop)


def _whole(side: Sequence[NamedPicture], data: UnpairedData) -> list[Pixels]:
    return read_all([named.path for named in side], Reader(data).load_whole)


def _sides(sources: Sequence[Path]) -> layouts.Sides:
    sides = layouts.find_sides(sources)
    if sides is None:
        inside = layouts.list_first(path.name for path in layouts.subfolders(sources[0])) or "no folders"
        raise DataError(
            f"{sources[0]}: the two sides were not found; it contains {inside}. Give two folders, first A, then B, or "
            "one with A and B or trainA and trainB"
        )
    return sides


def _named_sides(sides: tuple[Path, Path]) -> tuple[list[NamedPicture], ...]:
    return tuple(layouts.named_pictures(folder) for folder in sides)
