"""Several domains: where their pictures are and which domain, or which attributes, each of them has."""

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal, NamedTuple

import numpy as np
from numpy.typing import NDArray
from pydantic import Field, NonNegativeInt, PositiveInt

from img2img.data import attributes as tables
from img2img.data import folders, layouts
from img2img.data.jitter import Aspect, JitterSection
from img2img.errors import DataError
from img2img.runtime.files.source import PICTURE_SUFFIXES

Missing = Literal["fail", "skip"]


class DomainData(JitterSection):
    """Pictures of several domains; each entry of `folders` is a data set with labels of its own."""

    folders: tuple[Path, ...] = Field(
        min_length=1,
        description="data sets: a folder with a sub-folder a domain; or a table of attributes, or a folder with one. "
        "Folders that hold pictures themselves are one data set, each a domain",
    )
    validation: tuple[Path, ...] = Field(
        default=(), description="held-out data sets, given like folders; empty: val or test, or a twentieth"
    )
    attributes: tuple[str, ...] = Field(
        default=(), description="columns of the tables, or sub-folders, to use; empty: all"
    )
    pictures: tuple[Path, ...] = Field(
        default=(), description="where the pictures of the tables are; empty: below the table's folder"
    )
    missing: Missing = Field(default="fail", description="a picture that a table names and is not there: fail, or skip")
    balance: bool = Field(
        default=True, description="domains take turns, however many pictures each has; tables are shuffled as a whole"
    )
    centre: NonNegativeInt = Field(
        default=0, description="first cut a square of so many pixels out of the middle (CelebA: 178); 0: do not"
    )
    load: NonNegativeInt = Field(
        default=128, description="pixels that pictures are resized to; 0: crops at their own size"
    )
    crop: PositiveInt = Field(default=128, description="side of the random crop of it, in pixels")
    aspect: Aspect = Field(
        default="keep", description="squash: resize to a square; keep: resize the shorter side, as published"
    )


class Labelled(NamedTuple):
    """A picture; `label` has a 1 for each column of its set that holds; uint8 `[columns of the set]`."""

    name: str
    path: Path
    label: NDArray[np.uint8]


@dataclass(frozen=True)
class LabelSet:
    """One data set. `exclusive`: each picture is of one domain; otherwise columns are attributes."""

    name: str
    columns: tuple[str, ...]
    exclusive: bool
    train: list[Labelled]
    held: list[Labelled]
    layout: str
    notes: list[str] = field(default_factory=list)


@dataclass(frozen=True)
class Domains:
    """What was found. `columns` are those of all sets, one set after the other, with names of their own."""

    sets: list[LabelSet]

    @property
    def columns(self) -> tuple[str, ...]:
        """Names of the columns; one that two sets have is called `set/column` (or `number/column`)."""
        count = Counter(column for one in self.sets for column in one.columns)
        distinct = len({one.name for one in self.sets}) == len(self.sets)
        return tuple(
            column if count[column] == 1 else f"{one.name if distinct else number}/{column}"
            for number, one in enumerate(self.sets, 1)
            for column in one.columns
        )

    @property
    def exclusive(self) -> bool:
        """Whether every set's domains exclude each other."""
        return all(one.exclusive for one in self.sets)


def find_domains(
    sources: Sequence[Path],
    *,
    attributes: tuple[str, ...] = (),
    pictures: Sequence[Path] = (),
    missing: Missing = "fail",
    validation: Sequence[Path] = (),
) -> Domains:
    """Find data sets in these layouts, recognised by looking:

    - a folder with a sub-folder a domain, or with such folders in `train` and `val` or `test`;
    - a table of attributes (`attributes.read`), or a folder with one and its pictures somewhere below it;
    - folders that hold pictures: together one set, each of them a domain.

    Names are paths below the domain's folder without extension (of tables: as written there). Where nothing is held
    out, `layouts.held_names` chooses, so that one name is held out in every domain.

    Raises:
        DataError: a folder does not exist, has no or only one domain, or a domain has no pictures; a table is at
            fault or names pictures that are not there (unless `missing` is "skip").
    """
    sets = _sets(sources, attributes, pictures, missing)
    if validation:
        others = _sets(validation, attributes, pictures, missing)
        if [one.columns for one in others] != [one.columns for one in sets]:
            raise DataError(
                f"data.validation has the domains {_listed(others)}; data.folders has {_listed(sets)}: they must agree"
            )
        held = [[*other.train, *other.held] for other in others]
    else:
        held = [one.held or _held(one) for one in sets]
    if sum(len(one.columns) for one in sets) < 2:
        raise DataError(f"{sources[0]}: one domain only ({_listed(sets)}); there must be two or more")
    return Domains([_split(one, rest) for one, rest in zip(sets, held, strict=True)])


def _split(one: LabelSet, held: list[Labelled]) -> LabelSet:
    out = {(item.name, item.path) for item in held}
    train = [item for item in one.train if (item.name, item.path) not in out]
    layout = one.layout if one.held or len(train) == len(one.train) else f"{one.layout}; held out by a hash of the name"
    return LabelSet(one.name, one.columns, one.exclusive, train, held, layout, one.notes)


def _held(one: LabelSet) -> list[Labelled]:
    if one.exclusive:
        names = set[str]()
        for place, column in enumerate(one.columns):
            names |= layouts.held_names((i.name for i in one.train if i.label[place]), what=f"domain {column}")
    else:
        names = layouts.held_names((item.name for item in one.train), what=one.name)
    held = [item for item in one.train if item.name in names]
    if one.exclusive:
        left = Counter(int(item.label.argmax()) for item in one.train if item.name not in names)
        for place, column in enumerate(one.columns):
            if not left[place]:
                raise DataError(f"domain {column}: too few pictures to hold some out; give more")
    return held


def _listed(sets: Sequence[LabelSet]) -> str:
    return "; ".join(", ".join(one.columns) for one in sets)


def _sets(
    sources: Sequence[Path], attributes: tuple[str, ...], pictures: Sequence[Path], missing: Missing
) -> list[LabelSet]:
    sets: list[LabelSet] = []
    flat: list[Path] = []
    for source in sources:
        if not source.exists():
            raise DataError(f"{source}: there is no such folder or file")
        if source.is_file():
            sets.append(_from_table(source, attributes, pictures, missing))
            continue
        found = [path for path in sorted(source.iterdir()) if tables.is_table(path)]
        if len(found) > 1:
            raise DataError(f"{source}: two tables of attributes ({found[0].name}, {found[1].name}); name the one")
        if found:
            sets.append(_from_table(found[0], attributes, pictures, missing))
        elif any(path.suffix.casefold() in PICTURE_SUFFIXES for path in source.iterdir()):
            flat.append(source)
        else:
            sets.append(_from_folders(source, attributes))
    if flat:
        train = {folder.name: folder for folder in flat}
        if len(train) < len(flat):
            raise DataError(f"two of the folders {', '.join(map(str, flat))} have one name, which is their domain's")
        sets.append(_exclusive(flat[0].parent, train, {}, attributes, f"folders, each a domain: {', '.join(train)}"))
    return sets


def _from_folders(folder: Path, attributes: tuple[str, ...]) -> LabelSet:
    train = layouts.child(folder, "train")
    held = next((h for word in layouts.HELD_FOLDERS if (h := layouts.child(folder, word))), None) if train else None
    inside = {path.name: path for path in layouts.subfolders(train or folder)}
    if train is None and (split := _prefixed(inside)) is not None:
        return _exclusive(folder, *split, attributes, f"{folder.name}: {', '.join(inside)}, a folder a domain")
    if not inside:
        raise DataError(f"{folder}: no domains recognised; give a folder with a sub-folder a domain, or a table")
    layout = f"{folder.name}: a folder a domain"
    if held is None:
        return _exclusive(folder, inside, {}, attributes, layout)
    out = {path.name: path for path in layouts.subfolders(held)}
    if out.keys() != inside.keys():
        raise DataError(f"{folder}: {held.name} has the domains {', '.join(out)}, train has {', '.join(inside)}")
    return _exclusive(folder, inside, out, attributes, f"{layout}; held out: {held.name}")


def _prefixed(inside: dict[str, Path]) -> tuple[dict[str, Path], dict[str, Path]] | None:
    """`trainA trainB ...` and perhaps `testA testB ...` as the domains `A B ...`; None where there are others."""
    splits: dict[str, dict[str, Path]] = {}
    for name, path in inside.items():
        word = next((w for w in ("train", *layouts.HELD_FOLDERS) if name.casefold().startswith(w)), "")
        splits.setdefault(word, {})[name[len(word) :].strip("_-")] = path
    if "" in splits or "train" not in splits:
        return None
    held = next((splits[word] for word in layouts.HELD_FOLDERS if word in splits), {})
    return (splits["train"], held) if not held or held.keys() == splits["train"].keys() else None


def _exclusive(
    folder: Path, train: dict[str, Path], held: dict[str, Path], attributes: tuple[str, ...], layout: str
) -> LabelSet:
    if absent := [name for name in attributes if name not in train]:
        raise DataError(f"{folder}: no domain {', '.join(absent)}; there are {', '.join(train)}")
    columns = attributes or tuple(sorted(train))

    def items(domains: dict[str, Path]) -> list[Labelled]:
        ones = np.eye(len(columns), dtype=np.uint8)
        return [
            Labelled(named.name, named.path, ones[place])
            for place, column in enumerate(columns)
            for named in (layouts.named(domains[column]) if column in domains else ())
        ]

    return LabelSet(folder.name, columns, True, items(train), items(held), layout)


def _from_table(file: Path, attributes: tuple[str, ...], pictures: Sequence[Path], missing: Missing) -> LabelSet:
    table = tables.read(file, wanted=attributes)
    below = [path for folder in pictures or [file.parent] for path in folders.find([folder])]
    # As written below one of the folders, or else by the bare name, wherever that picture lies.
    written = {p.relative_to(f).as_posix(): p for f in pictures or [file.parent] for p in below if p.is_relative_to(f)}
    bare: dict[str, list[Path]] = {}
    for path in below:
        bare.setdefault(path.name, []).append(path)
    items: list[Labelled] = []
    absent: list[str] = []
    for row in table.rows:
        places = [written[row.file]] if row.file in written else bare.get(Path(row.file).name, [])
        if len(places) > 1:
            raise DataError(f"{file}: {row.file} is there twice: {places[0]} and {places[1]}; set data.pictures")
        if places:
            items.append(Labelled(Path(row.file).with_suffix("").as_posix(), places[0], row.values))
        else:
            absent.append(row.file)
    if not items or (absent and missing == "fail"):
        raise DataError(
            f"{file}: {len(absent)} of {len(table.rows)} pictures that it names are not below "
            f"{', '.join(str(folder) for folder in pictures or [file.parent])} ({layouts.first(absent)}); set "
            "data.pictures to their folder, or data.missing = skip"
        )
    notes = [f"{len(absent)} pictures that {file.name} names are not there and are passed over"] if absent else []
    if unnamed := len(below) - len({item.path for item in items}):
        notes.append(f"{unnamed} pictures are not in {file.name} and are passed over")
    if table.ignored:
        notes.append(f"columns of {file.name} that are no attributes: {', '.join(table.ignored)}")
    share = np.mean([item.label for item in items], axis=0)
    if same := [name for name, mean in zip(table.columns, share, strict=True) if mean in (0, 1)]:
        notes.append(f"{', '.join(same)}: the same for every picture, so there is nothing to learn of it")
    return LabelSet(file.parent.name, table.columns, False, items, [], f"attributes in {file.name}", notes)
