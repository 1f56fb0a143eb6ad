"""The data set for pictures of several domains or with attributes."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple, Self

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.utils.data import Dataset

from img2img.data import folders, jitter, layouts, order
from img2img.data.augment import augment, augment_pair
from img2img.data.cache import Cache, read_all
from img2img.data.domains import DomainData, Domains, find_domains
from img2img.data.jitter import Window
from img2img.data.partners import Partners
from img2img.errors import DataError
from img2img.text import count_of

Pixels = NDArray[np.uint8]
Floats = NDArray[np.float32]

MAX_HELD_OUT = 1000
"""Number of held-out pictures kept for validation, over all domains."""


class HeldOutPicture(NamedTuple):
    """A held-out picture, uint8 RGB `[crop, crop, 3]`. `label` is float32 `[K]`; `set` is the number of its data set.

    `name` is the path below the domain's folder. If pictures of several domains have the same name and show the same
    thing, a translation can be compared with the truth.
    """

    name: str
    label: Floats
    set: int
    picture: Pixels


@dataclass(frozen=True)
class Labels:
    """The labels of a list of pictures: values `[N, K]`, known `[S, K]`, the set of each picture `[N]`.

    A column is known for a picture if it belongs to the picture's data set. The labels of other sets are ignored (the
    mask vector of Choi et al. 2018, section 3.2).
    """

    values: Floats
    known: Floats
    sets: NDArray[np.int64]


class DomainCrops(Dataset[dict[str, Tensor]]):
    """Endless items, each a pure function of (seed, index).

    Data sets take turns, as published. If the domains of a set exclude each other and `balance` is on, its domains take
    turns too, in a new random order each round. Each pass over a set or domain is a new permutation.

    Args:
        groups: indices into `pictures`, by set and, if domains take turns, by domain.
        partners: pictures of the same thing in other domains, to add to each item; None: none.

    Items: `{"image": uint8 [3, crop, crop], "label": float32 [K], "known": float32 [K], "set": int64 []}`. With
    partners also `"partner"`, a picture of the same thing with the same crop, mirroring and augmentation,
    `"partner_label"`, and `"has_partner"` float32 `[]`. If `has_partner` is 0, partner and label are the picture's own.
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
        # Random streams: 1 for the order of the sets, then one per set for the order of its groups, then one per group.
        self._first = list(np.cumsum([2 + len(groups), *map(len, groups)])[:-1])

    def __len__(self) -> int:
        return order.ENDLESS

    def place(self, index: int) -> int:
        """Return the index of the picture that item `index` is cropped from."""
        data_set = order.shuffled_index(self.seed, index, len(self.groups), stream=1)
        turn = index // len(self.groups)
        groups = self.groups[data_set]
        which = order.shuffled_index(self.seed, turn, len(groups), stream=2 + data_set)
        group = groups[which]
        stream = int(self._first[data_set]) + which
        return int(group[order.shuffled_index(self.seed, turn // len(groups), len(group), stream=stream)])

    def sources(self, index: int) -> list[tuple[Sequence[Any], int]]:
        """See `seen.Sourced`."""
        return [(self.pictures, self.place(index))]

    def __getitem__(self, index: int) -> dict[str, Tensor]:
        place = self.place(index)
        picture = self.pictures[place]
        rng = order.generator(self.seed, index)
        window = Window.draw(rng, picture, self.settings.crop, flip=self.settings.flip)
        data_set = int(self.labels.sets[place])
        more: dict[str, Tensor] = {}
        if self.partners is None:
            picture = augment(self.settings.augment, rng, picture)
        else:
            other = self.partners.draw(place, rng)
            partner = picture if other is None else self._resized_to(other, picture)
            picture, partner = augment_pair(self.settings.augment, rng, picture, partner, labels=False)
            more = {
                "partner": jitter.to_tensor(window.cut(partner)),
                "partner_label": torch.from_numpy(self.labels.values[place if other is None else other].copy()),
                "has_partner": torch.tensor(float(other is not None)),
            }
        return {
            "image": jitter.to_tensor(window.cut(picture)),
            "label": torch.from_numpy(self.labels.values[place].copy()),
            "known": torch.from_numpy(self.labels.known[data_set].copy()),
            "set": torch.tensor(data_set),
            **more,
        }

    def _resized_to(self, place: int, picture: Pixels) -> Pixels:
        """Return the picture at `place`, resized to the size of `picture`.

        One window then cuts the same part out of both.
        """
        return jitter.resize(self.pictures[place], *picture.shape[:2])


@dataclass(frozen=True)
class DomainSet:
    """Data of several domains, read and checked.

    Attributes:
        dataset: the training data.
        domains: names of the K columns.
        exclusive: whether each picture belongs to one domain of its data set; otherwise columns are attributes.
        blocks: the columns of each data set.
        set_exclusive: for each data set, whether its columns exclude each other.
        held_out: validation data: whole pictures, resized to the size of the crop without jitter.
        notes: sentences for the user before the first step.
    """

    dataset: DomainCrops
    domains: tuple[str, ...]
    exclusive: bool
    blocks: list[slice]
    set_exclusive: list[bool]
    held_out: list[HeldOutPicture]
    notes: list[str]

    @classmethod
    def read(cls, data: DomainData, *, seed: int, paired: bool = False) -> Self:
        """Find, check and decode the pictures of `data`.

        Args:
            paired: add pictures of the same name in other domains to each item.

        Raises:
            DataError: see `find_domains`; or a picture cannot be read, or is too small to be cropped at its original
                size; or `paired`, and no name occurs in two domains. Messages name the files.
        """
        found = find(data)
        reader = Reader(data)
        train = [(number, item) for number, label_set in enumerate(found.sets) for item in label_set.train]
        cache = Cache([item.path for _, item in train], reader.load, limit_mb=data.cache_mb)
        blocks = column_slices(found)
        values = np.zeros((len(train), len(found.columns)), np.float32)
        for row, (number, item) in zip(values, train, strict=True):
            row[blocks[number]] = item.label
        known = np.zeros((len(found.sets), len(found.columns)), np.float32)
        for number, block in enumerate(blocks):
            known[number, block] = 1
        sets = np.array([number for number, _ in train], np.int64)
        groups = [
            [np.flatnonzero((sets == number) & (values[:, column] > 0)) for column in range(block.start, block.stop)]
            if label_set.exclusive and data.balance
            else [np.flatnonzero(sets == number)]
            for number, (label_set, block) in enumerate(zip(found.sets, blocks, strict=True))
        ]
        notes = [*describe(found), *filter(None, [cache.note])]
        notes += folders.dark_note([item.path for _, item in train], folders.Reading.of(data))
        partners = None
        if paired:
            exclusive = [label_set.exclusive for label_set in found.sets]
            partners = Partners(
                [(number, item.name) for number, item in train],
                [int(item.label.argmax()) if exclusive[number] else -1 for number, item in train],
            )
            if not len(partners):
                raise DataError(
                    f"{data.folders[0]}: no picture has the same name in two domains, so there are no pairs; "
                    "set pairs = 0"
                )
            notes.append(f"{len(partners)} of {len(train)} pictures have the same name in another domain")
        return cls(
            dataset=DomainCrops(cache, Labels(values, known, sets), groups, data, seed=seed, partners=partners),
            domains=found.columns,
            exclusive=found.exclusive,
            blocks=blocks,
            set_exclusive=[label_set.exclusive for label_set in found.sets],
            held_out=_read_held_out(found, blocks, reader),
            notes=notes,
        )

    def truth(self, name: str, column: int) -> Pixels | None:
        """Return the held-out picture called `name` in domain `column`, or None.

        It is the expected result of a translation only if domains share names, like drawings of one thing in several
        styles.
        """
        return next((held.picture for held in self.held_out if held.name == name and held.label[column] > 0), None)


class Reader:
    """Reads pictures at the size from which crops are cut."""

    def __init__(self, data: DomainData) -> None:
        self.data = data

    def load(self, path: Path) -> Pixels:
        picture = self._centre(path)
        return np.ascontiguousarray(jitter.resize(picture, *jitter.frame_size(picture, self.data, name=path)))

    def load_whole(self, path: Path) -> Pixels:
        picture = self._centre(path)
        frame = jitter.whole_frame_size(picture, self.data, name=path)
        return jitter.crop_centre(jitter.resize(picture, *frame), self.data.crop)

    def _centre(self, path: Path) -> Pixels:
        picture = folders.read_rgb(path, folders.Reading.of(self.data))
        if not self.data.centre:
            return picture
        return Window.centre(picture, min(self.data.centre, *picture.shape[:2])).cut(picture)


def find(data: DomainData) -> Domains:
    """Find the data sets that `data` configures."""
    return find_domains(
        data.folders,
        attributes=data.attributes,
        pictures=data.pictures,
        missing=data.missing,
        validation=data.validation,
    )


def column_slices(found: Domains) -> list[slice]:
    """Return the slice of each data set in the joined columns."""
    ends = np.cumsum([len(label_set.columns) for label_set in found.sets]).tolist()
    return [slice(start, end) for start, end in zip([0, *ends], ends, strict=False)]


def describe(found: Domains) -> list[str]:
    """Summarise the data sets found, for the user."""
    lines: list[str] = []
    for label_set in found.sets:
        counts = sum(item.label.astype(np.int64) for item in label_set.train)
        kinds = "domains" if label_set.exclusive else "attributes"
        listed = ", ".join(
            f"{name} {count}" for name, count in zip(label_set.columns, np.atleast_1d(counts), strict=True)
        )
        pictures = f"{count_of(len(label_set.train), 'training picture')}, {len(label_set.held_out)} held out"
        lines.append(f"{pictures}; {kinds}: {listed}")
        lines += [label_set.layout, *label_set.notes]
    return lines


def _read_held_out(found: Domains, blocks: list[slice], reader: Reader) -> list[HeldOutPicture]:
    most = max(MAX_HELD_OUT // sum(len(label_set.columns) if label_set.exclusive else 1 for label_set in found.sets), 2)
    chosen: list[tuple[int, str, Path, Floats]] = []
    for number, (label_set, block) in enumerate(zip(found.sets, blocks, strict=True)):
        groups = [label_set.held_out]
        if label_set.exclusive:
            groups = [[i for i in label_set.held_out if i.label[column]] for column in range(len(label_set.columns))]
        for group in groups:
            for item in layouts.at_most(group, [item.name for item in group], most):
                label = np.zeros(len(found.columns), np.float32)
                label[block] = item.label
                chosen.append((number, item.name, item.path, label))
    pictures = read_all([path for _, _, path, _ in chosen], reader.load_whole)
    return [
        HeldOutPicture(name, label, number, picture)
        for (number, name, _, label), picture in zip(chosen, pictures, strict=True)
    ]
