"""Two domains without pairs: where their pictures are, and the data set that CycleGAN is trained on."""

import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal, NamedTuple, Self

import numpy as np
from numpy.typing import NDArray
from pydantic import Field
from torch import Tensor
from torch.utils.data import Dataset

from img2img.data import folders, jitter, layouts, order
from img2img.data.augment import augmented
from img2img.data.cache import Cache, default_limit_mb, read_all
from img2img.data.jitter import JitterSection, Window
from img2img.data.layouts import Named
from img2img.errors import DataError

Pixels = NDArray[np.uint8]

Truth = Literal["auto", "names", "none"]

HELD_MOST = 200
"""Held-out pictures of each side that are kept for validations."""


class UnpairedData(JitterSection):
    """Two folders of pictures that need not belong together."""

    folders: tuple[Path, ...] = Field(
        min_length=1,
        max_length=2,
        description="one folder with A and B (A/ B/, or trainA/ trainB/), or two folders, A and then B",
    )
    validation: tuple[Path, ...] = Field(
        default=(),
        max_length=2,
        description="held-out pictures, given like folders; empty: val or test, or a twentieth",
    )
    truth: Truth = Field(
        default="auto",
        description="held-out pictures of A and B with one name show the same thing and can be compared: names; they "
        "do not: none; auto: they do where most names agree and are no plain numbers",
    )


@dataclass(frozen=True)
class Unpaired:
    """What was found: pictures of either side to train on and held out; `layout` is a sentence for a person."""

    train: tuple[list[Named], list[Named]]
    held: tuple[list[Named], list[Named]]
    layout: str


class Held(NamedTuple):
    """A held-out picture, uint8 RGB `[crop, crop, 3]`."""

    name: str
    picture: Pixels


class UnpairedCrops(Dataset[dict[str, Tensor]]):
    """Endless items `{"a": uint8 [3, crop, crop], "b": uint8 [3, crop, crop]}`, each a pure function of (seed, index).

    Each side has its own order, a new permutation each pass over that side, and its own jitter: what meets what is
    chance, as in the code published with Zhu et al. 2017.
    """

    def __init__(self, a: Sequence[Pixels], b: Sequence[Pixels], settings: JitterSection, *, seed: int) -> None:
        self.sides = {"a": a, "b": b}
        self.settings = settings
        self.seed = seed

    def __len__(self) -> int:
        return order.ENDLESS

    def __getitem__(self, index: int) -> dict[str, Tensor]:
        rng = order.generator(self.seed, index)
        item: dict[str, Tensor] = {}
        for stream, (name, pictures) in enumerate(self.sides.items(), 1):
            picture = pictures[order.shuffled(self.seed, index, len(pictures), stream=stream)]
            window = Window.draw(rng, picture, self.settings.crop, flip=self.settings.flip)
            item[name] = jitter.tensor(window.cut(augmented(self.settings.augment, rng, picture)))
        return item


@dataclass(frozen=True)
class UnpairedSet:
    """Unpaired data, read and checked.

    Attributes:
        dataset: what is trained on.
        held_a, held_b: what validations look at: whole pictures, resized to the crop's size without jitter.
        truth: places in `held_a` and `held_b` that show the same thing, so that a translation can be compared with
            what it should be; empty where nothing is known.
        notes: what a person should hear before the first step.
    """

    dataset: UnpairedCrops
    held_a: list[Held]
    held_b: list[Held]
    truth: list[tuple[int, int]]
    notes: list[str]

    @classmethod
    def read(cls, data: UnpairedData, *, seed: int) -> Self:
        """Find, check and decode the pictures that `data` names.

        Raises:
            DataError: see `find_unpaired`; or a picture cannot be read, or is smaller than the crop where `load` is
                0. Files are named.
        """
        found = find_unpaired(data.folders, validation=data.validation)
        limit = (default_limit_mb() if data.cache_mb is None else data.cache_mb) // 2
        a, b = (Cache([n.path for n in side], Reader(data).loaded, limit_mb=limit) for side in found.train)
        chosen = [layouts.at_most(side, [n.name for n in side], HELD_MOST) for side in found.held]
        held_a, held_b = ([Held(n.name, p) for n, p in zip(side, _whole(side, data), strict=True)] for side in chosen)
        truth = same_things(chosen[0], chosen[1], data.truth)
        notes = [*said(found), *filter(None, [a.note, b.note])]
        if truth:
            notes.append(
                f"{len(truth)} held-out pictures have their like, by name, on the other side: results are compared "
                "with it (data.truth = none if these do not show the same thing)"
            )
        return cls(UnpairedCrops(a, b, data, seed=seed), held_a, held_b, truth, notes)


def find_unpaired(sources: Sequence[Path], *, validation: Sequence[Path] = ()) -> Unpaired:
    """Find the sides: two folders, or one with `trainA trainB` and perhaps `valA valB` or `testA testB`, or `A B`.

    Without pictures that are held out, `layouts.held_names` chooses from each side; a name that is held out on one
    side is held out on the other too, in case both show the same thing.

    Raises:
        DataError: no sides are recognised; A without B; one picture cannot be both trained on and validated with.
    """
    sides = _sides(sources)
    train = _named(sides.train)
    layout = f"two domains: {sides.layout}"
    if validation:
        held = _named(_sides(validation).train)
        layout += f"; held out: {', '.join(map(str, validation))}"
    elif sides.held is not None:
        held = _named(sides.held)
    else:
        chosen = [
            layouts.held_names([n.name for n in side], what=str(folder))
            for side, folder in zip(train, sides.train, strict=True)
        ]
        either = chosen[0] | chosen[1]
        held = tuple([n for n in side if n.name in either] for side in train)
        train = tuple([n for n in side if n.name not in either] for side in train)
        layout += "; held out by a hash of the name"
    for side, letter in zip(train, "AB", strict=True):
        if not side:
            raise DataError(f"{sides.layout}: nothing of {letter} is left to train on")
    return Unpaired((train[0], train[1]), (held[0], held[1]), layout)


def same_things(a: Sequence[Named], b: Sequence[Named], truth: Truth) -> list[tuple[int, int]]:
    """Places in `a` and `b` of pictures with one name, where names can be trusted: see `UnpairedData.truth`."""
    places = {named.name: place for place, named in enumerate(b)}
    both = [(place, places[named.name]) for place, named in enumerate(a) if named.name in places]
    if truth == "none" or (truth == "auto" and (2 * len(both) < min(len(a), len(b)) or counted([n.name for n in a]))):
        return []
    return both


def counted(names: Sequence[str]) -> bool:
    """Whether names are but numbers, with at most one word around them: these agree between any two folders."""
    return len({re.sub(r"\d+", "#", name) for name in names}) == 1 and all(
        len(re.findall(r"\d+", name)) == 1 for name in names
    )


def said(found: Unpaired) -> list[str]:
    """What was found, for a person."""
    train, held = ([len(side) for side in sides] for sides in (found.train, found.held))
    return [
        f"{train[0]} pictures of A and {train[1]} of B to train on, {held[0]} and {held[1]} held out",
        found.layout,
    ]


class Reader:
    """Reads pictures at the size that crops are cut from."""

    def __init__(self, data: JitterSection) -> None:
        self.data = data

    def loaded(self, path: Path) -> Pixels:
        picture = folders.read_rgb(path)
        return jitter.resize(picture, *jitter.frame(picture, self.data, name=path))

    def whole(self, path: Path) -> Pixels:
        picture = folders.read_rgb(path)
        return jitter.middle(jitter.resize(picture, *jitter.whole_frame(picture, self.data, name=path)), self.data.crop)


def _whole(side: Sequence[Named], data: UnpairedData) -> list[Pixels]:
    return read_all([named.path for named in side], Reader(data).whole)


def _sides(sources: Sequence[Path]) -> layouts.Sides:
    sides = layouts.find_sides(sources)
    if sides is None:
        inside = layouts.first(path.name for path in layouts.subfolders(sources[0])) or "no folders"
        raise DataError(
            f"{sources[0]}: no two sides recognised; it holds {inside}. Give two folders, A and then B, or one with "
            "A and B or trainA and trainB"
        )
    return sides


def _named(sides: tuple[Path, Path]) -> tuple[list[Named], ...]:
    return tuple(layouts.named(folder) for folder in sides)
