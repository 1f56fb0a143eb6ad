"""Pictures of several domains, or with attributes, as a data set."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple, Self

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.utils.data import Dataset

from img2img.data import folders, jitter, layouts, order
from img2img.data.augment import augmented, augmented_pair
from img2img.data.cache import Cache, read_all
from img2img.data.domains import DomainData, Domains, find_domains
from img2img.data.jitter import Window
from img2img.data.partners import Partners
from img2img.errors import DataError

Pixels = NDArray[np.uint8]
Floats = NDArray[np.float32]

HELD_MOST = 1000
"""Held-out pictures that are kept for validations, over all domains."""


class Held(NamedTuple):
    """A held-out picture, uint8 RGB `[crop, crop, 3]`; `label` float32 `[K]`; `set` is its data set's number.

    `name` is the path below the domain's folder: where pictures of several domains have one name, and show the same
    thing, a translation can be compared with what it should be.
    """

    name: str
    label: Floats
    set: int
    picture: Pixels


@dataclass(frozen=True)
class Labels:
    """The labels of a list of pictures: values `[N, K]`, known `[S, K]`, the set of each picture `[N]`.

    A column is known for a picture where it belongs to the picture's data set (Choi et al. 2018, section 3.2: the
    mask vector says which set, and the labels of the others are ignored).
    """

    values: Floats
    known: Floats
    sets: NDArray[np.int64]


class DomainCrops(Dataset[dict[str, Tensor]]):
    """Endless items, each a pure function of (seed, index).

    Data sets take turns, as published. Within a set whose domains exclude each other, domains take turns in a new
    random order each round (where `balance`); of a set, or a domain, each pass is a new permutation.

    Args:
        groups: places in `pictures` by set and, where these take turns, by domain.
        partners: pictures of the same thing in all domains, to give one with each item; None: none.

    Items: `{"image": uint8 [3, crop, crop], "label": float32 [K], "known": float32 [K], "set": int64 []}`. With
    partners also `"partner"` and `"partner_label"`: one of them, cut, mirrored and changed alike, and its label; and
    `"told"` float32 `[]`: 1, or 0 where the picture has no partner and these two are its own.
    """

    def __init__(
        self,
        pictures: Sequence[Pixels],
        labels: Labels,
        groups: list[list[NDArray[np.int64]]],
        settings: DomainData,
        *,
        seed: int,
        partners: Partners | None = None,
    ) -> None:
        self.pictures = pictures
        self.labels = labels
        self.groups = groups
        self.settings = settings
        self.seed = seed
        self.partners = partners
        # Streams of random numbers: 1 for the turns of the sets, then one for the turns in each, then each group's.
        self._first = list(np.cumsum([2 + len(groups), *map(len, groups)])[:-1])

    def __len__(self) -> int:
        return order.ENDLESS

    def place(self, index: int) -> int:
        """Which picture item `index` is cut from."""
        one = order.shuffled(self.seed, index, len(self.groups), stream=1)
        turn = index // len(self.groups)
        groups = self.groups[one]
        which = order.shuffled(self.seed, turn, len(groups), stream=2 + one)
        group = groups[which]
        stream = int(self._first[one]) + which
        return int(group[order.shuffled(self.seed, turn // len(groups), len(group), stream=stream)])

    def __getitem__(self, index: int) -> dict[str, Tensor]:
        place = self.place(index)
        picture = self.pictures[place]
        rng = order.generator(self.seed, index)
        window = Window.draw(rng, picture, self.settings.crop, flip=self.settings.flip)
        one = int(self.labels.sets[place])
        more: dict[str, Tensor] = {}
        if self.partners is None:
            picture = augmented(self.settings.augment, rng, picture)
        else:
            other = self.partners.draw(place, rng)
            partner = picture if other is None else self._fitted(other, picture)
            picture, partner = augmented_pair(self.settings.augment, rng, picture, partner, labels=False)
            more = {
                "partner": jitter.tensor(window.cut(partner)),
                "partner_label": torch.from_numpy(self.labels.values[place if other is None else other].copy()),
                "told": torch.tensor(float(other is not None)),
            }
        return {
            "image": jitter.tensor(window.cut(picture)),
            "label": torch.from_numpy(self.labels.values[place].copy()),
            "known": torch.from_numpy(self.labels.known[one].copy()),
            "set": torch.tensor(one),
            **more,
        }

    def _fitted(self, place: int, picture: Pixels) -> Pixels:
        """The picture at `place`, in the size of `picture`, so that one window cuts the same out of both."""
        return jitter.resize(self.pictures[place], *picture.shape[:2])


@dataclass(frozen=True)
class DomainSet:
    """Data of several domains, read and checked.

    Attributes:
        dataset: what is trained on.
        domains: names of the columns, K of them.
        exclusive: a picture is of one domain (of its data set); otherwise columns are attributes.
        blocks: the columns of each data set.
        set_exclusive: of each data set, whether its columns exclude each other.
        held: what validations look at: whole pictures, resized to the crop's size without jitter.
        notes: what a person should hear before the first step.
    """

    dataset: DomainCrops
    domains: tuple[str, ...]
    exclusive: bool
    blocks: list[slice]
    set_exclusive: list[bool]
    held: list[Held]
    notes: list[str]

    @classmethod
    def read(cls, data: DomainData, *, seed: int, paired: bool = False) -> Self:
        """Find, check and decode the pictures that `data` names.

        Args:
            paired: give pictures of the same name in other domains with each item.

        Raises:
            DataError: see `find_domains`; or a picture cannot be read, or is too small for the crop at its own size;
                or `paired`, and no name is in two domains. Files are named.
        """
        found = find(data)
        reader = Reader(data)
        train = [(number, item) for number, one in enumerate(found.sets) for item in one.train]
        cache = Cache([item.path for _, item in train], reader.loaded, limit_mb=data.cache_mb)
        blocks = columns_of(found)
        values = np.zeros((len(train), len(found.columns)), np.float32)
        for row, (number, item) in zip(values, train, strict=True):
            row[blocks[number]] = item.label
        known = np.zeros((len(found.sets), len(found.columns)), np.float32)
        for number, block in enumerate(blocks):
            known[number, block] = 1
        sets = np.array([number for number, _ in train], np.int64)
        groups = [
            [np.flatnonzero((sets == number) & (values[:, column] > 0)) for column in range(block.start, block.stop)]
            if one.exclusive and data.balance
            else [np.flatnonzero(sets == number)]
            for number, (one, block) in enumerate(zip(found.sets, blocks, strict=True))
        ]
        notes = [*said(found), *filter(None, [cache.note])]
        partners = None
        if paired:
            exclusive = [one.exclusive for one in found.sets]
            partners = Partners(
                [(number, item.name) for number, item in train],
                [int(item.label.argmax()) if exclusive[number] else -1 for number, item in train],
            )
            if not len(partners):
                raise DataError(
                    f"{data.folders[0]}: no picture has the same name in two domains, there are no pairs: set pairs = 0"
                )
            notes.append(f"{len(partners)} of {len(train)} pictures have the same name in another domain")
        return cls(
            dataset=DomainCrops(cache, Labels(values, known, sets), groups, data, seed=seed, partners=partners),
            domains=found.columns,
            exclusive=found.exclusive,
            blocks=blocks,
            set_exclusive=[one.exclusive for one in found.sets],
            held=_held(found, blocks, reader),
            notes=notes,
        )

    def truth(self, name: str, column: int) -> Pixels | None:
        """The held-out picture called `name` of the domain `column`; None where there is none.

        Only where names are shared by domains, as those of drawings of one thing in several styles, does this tell
        what a translation should look like.
        """
        return next((held.picture for held in self.held if held.name == name and held.label[column] > 0), None)


class Reader:
    """Reads pictures at the size that crops are cut from."""

    def __init__(self, data: DomainData) -> None:
        self.data = data

    def loaded(self, path: Path) -> Pixels:
        picture = self._centre(path)
        return np.ascontiguousarray(jitter.resize(picture, *jitter.frame(picture, self.data, name=path)))

    def whole(self, path: Path) -> Pixels:
        picture = self._centre(path)
        frame = jitter.whole_frame(picture, self.data, name=path)
        return jitter.middle(jitter.resize(picture, *frame), self.data.crop)

    def _centre(self, path: Path) -> Pixels:
        picture = folders.read_rgb(path)
        if not self.data.centre:
            return picture
        return Window.centre(picture, min(self.data.centre, *picture.shape[:2])).cut(picture)


def find(data: DomainData) -> Domains:
    """The data sets that the settings `data` name."""
    return find_domains(
        data.folders,
        attributes=data.attributes,
        pictures=data.pictures,
        missing=data.missing,
        validation=data.validation,
    )


def columns_of(found: Domains) -> list[slice]:
    """The columns of each data set among those of all."""
    ends = np.cumsum([len(one.columns) for one in found.sets]).tolist()
    return [slice(start, end) for start, end in zip([0, *ends], ends, strict=False)]


def said(found: Domains) -> list[str]:
    """What was found, for a person."""
    lines: list[str] = []
    for one in found.sets:
        counts = sum(item.label.astype(np.int64) for item in one.train)
        kinds = "domains" if one.exclusive else "attributes"
        listed = ", ".join(f"{name} {count}" for name, count in zip(one.columns, np.atleast_1d(counts), strict=True))
        lines.append(f"{len(one.train)} pictures to train on, {len(one.held)} held out; {kinds}: {listed}")
        lines += [one.layout, *one.notes]
    return lines


def _held(found: Domains, blocks: list[slice], reader: Reader) -> list[Held]:
    most = max(HELD_MOST // sum(len(one.columns) if one.exclusive else 1 for one in found.sets), 2)
    chosen: list[tuple[int, str, Path, Floats]] = []
    for number, (one, block) in enumerate(zip(found.sets, blocks, strict=True)):
        groups = [[i for i in one.held if i.label[c]] for c in range(len(one.columns))] if one.exclusive else [one.held]
        for group in groups:
            for item in layouts.at_most(group, [item.name for item in group], most):
                label = np.zeros(len(found.columns), np.float32)
                label[block] = item.label
                chosen.append((number, item.name, item.path, label))
    pictures = read_all([path for _, _, path, _ in chosen], reader.whole)
    return [Held(name, label, number, p) for (number, name, _, label), p in zip(chosen, pictures, strict=True)]
