"""Finds the pictures of several domains, and the domain or attributes of each picture."""

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal, NamedTuple

import numpy as np
from numpy.typing import NDArray
from pydantic import Field

from img2img.data import attributes as tables
from img2img.data import folders, layouts
from img2img.data.jitter import Aspect, JitterSection
from img2img.data.ranges import Side, SideOrOff
from img2img.errors import DataError
from img2img.runtime.files.walk import is_picture
from img2img.text import count_of, nfc

Missing = Literal["fail", "skip"]


class DomainData(JitterSection):
    """Pictures of several domains. Each entry of `folders` is a data set with its own labels."""

    folders: tuple[Path, ...] = Field(
        min_length=1,
        description="data sets: a folder with one sub-folder per domain, a table of attributes, or a folder with a "
        "table. Folders that contain pictures directly form one data set, each a domain",
    )
    validation: tuple[Path, ...] = Field(
        default=(), description="held-out data sets, given like folders; empty: val or test, or a twentieth"
    )
    attributes: tuple[str, ...] = Field(
        default=(), description="columns of the tables, or sub-folders, to use; empty: all"
    )
    pictures: tuple[Path, ...] = Field(
        default=(), description="folders with the pictures of the tables; empty: the table's own folder"
    )
    missing: Missing = Field(default="fail", description="if a picture in a table does not exist: fail or skip it")
    balance: bool = Field(
        default=True, description="show domains equally often, whatever their size; does not apply to tables"
    )
    centre: SideOrOff = Field(
        default=0, description="side in pixels of a square to cut out of the middle first (CelebA: 178); 0: off"
    )
    load: SideOrOff = Field(
        default=128, description="side in pixels that pictures are resized to; 0: crop at the original size"
    )
    crop: Side = Field(default=128, description="side of the random crop, in pixels")
    aspect: Aspect = Field(
        default="keep", description="squash: resize to a square; keep: resize the shorter side, as published"
    )


class LabelledPicture(NamedTuple):
    """A picture. `label`, uint8 `[columns of the set]`, is 1 for each column that applies."""

    name: str
    path: Path
    label: NDArray[np.uint8]


@dataclass(frozen=True)
class LabelSet:
    """One data set. If `exclusive`, each picture belongs to one domain; otherwise the columns are attributes."""

    name: str
    columns: tuple[str, ...]
    exclusive: bool
    train: list[LabelledPicture]
    held_out: list[LabelledPicture]
    layout: str
    notes: list[str] = field(default_factory=list)


@dataclass(frozen=True)
class Domains:
    """The data sets found. `columns` joins the columns of all sets, in order, under unique names."""

    sets: list[LabelSet]

    @property
    def columns(self) -> tuple[str, ...]:
        """Names of the columns. A name in two sets becomes `set/column` (or `number/column`)."""
        count = Counter(column for label_set in self.sets for column in label_set.columns)
        distinct = len({label_set.name for label_set in self.sets}) == len(self.sets)
        return tuple(
            column if count[column] == 1 else f"{label_set.name if distinct else number}/{column}"
            for number, label_set in enumerate(self.sets, 1)
            for column in label_set.columns
        )

    @property
    def exclusive(self) -> bool:
        """Whether the domains of every set exclude each other."""
        return all(label_set.exclusive for label_set in self.sets)


def find_domains(
    sources: Sequence[Path],
    *,
    attributes: tuple[str, ...] = (),
    pictures: Sequence[Path] = (),
    missing: Missing = "fail",
    validation: Sequence[Path] = (),
) -> Domains:
    """Find data sets. Recognises these layouts:

    - a folder with one sub-folder per domain, or with such folders in `train` and in `val` or `test`;
    - a table of attributes (`attributes.read`), or a folder with a table and its pictures somewhere below;
    - folders that contain pictures: together one set, each a domain.

    A picture's name is its path below the domain's folder without extension, or its name in the table. Without a
    held-out part, `layouts.held_out_names` chooses one, so that a name is held out in every domain.

    Raises:
        DataError: a folder does not exist, has fewer than two domains, or a domain has no pictures; a table is invalid
            or names missing pictures (unless `missing` is "skip").
    """
    sets = _sets(sources, attributes, pictures, missing)
    if validation:
        others = _sets(validation, attributes, pictures, missing)
        if [label_set.columns for label_set in others] != [label_set.columns for label_set in sets]:
            raise DataError(
                f"data.validation has the domains {_listed(others)}, but data.folders has {_listed(sets)}; "
                "they must be the same"
            )
        held = [[*other.train, *other.held_out] for other in others]
    else:
        held = [label_set.held_out or _choose_held_out(label_set) for label_set in sets]
    if sum(len(label_set.columns) for label_set in sets) < 2:
        raise DataError(f"{sources[0]}: only one domain ({_listed(sets)}); there must be at least two")
    return Domains([_split(label_set, rest) for label_set, rest in zip(sets, held, strict=True)])


def _split(label_set: LabelSet, held: list[LabelledPicture]) -> LabelSet:
    out = {(item.name, item.path) for item in held}
    train = [item for item in label_set.train if (item.name, item.path) not in out]
    layout = (
        label_set.layout
        if label_set.held_out or len(train) == len(label_set.train)
        else f"{label_set.layout}; held out by a hash of the name"
    )
    return LabelSet(label_set.name, label_set.columns, label_set.exclusive, train, held, layout, label_set.notes)


def _choose_held_out(label_set: LabelSet) -> list[LabelledPicture]:
    if label_set.exclusive:
        names = set[str]()
        for place, column in enumerate(label_set.columns):
            names |= layouts.held_out_names(
                (i.name for i in label_set.train if i.label[place]), what=f"domain {column}"
            )
    else:
        names = layouts.held_out_names((item.name for item in label_set.train), what=label_set.name)
    held = [item for item in label_set.train if item.name in names]
    if label_set.exclusive:
        left = Counter(int(item.label.argmax()) for item in label_set.train if item.name not in names)
        for place, column in enumerate(label_set.columns):
            if not left[place]:
                raise DataError(f"domain {column}: too few pictures to hold some out; add more")
    return held


def _listed(sets: Sequence[LabelSet]) -> str:
    return "; ".join(", ".join(label_set.columns) for label_set in sets)


def _sets(
    sources: Sequence[Path], attributes: tuple[str, ...], pictures: Sequence[Path], missing: Missing
) -> list[LabelSet]:
    sets: list[LabelSet] = []
    flat: list[Path] = []
    for source in sources:
        if not source.exists():
            raise DataError(f"{source}: no such folder or file")
        if source.is_file():
            sets.append(_from_table(source, attributes, pictures, missing))
            continue
        inside = layouts.contents(source)
        found = [path for path in inside if tables.is_table(path)]
        if len(found) > 1:
            raise DataError(f"{source}: two tables of attributes ({found[0].name}, {found[1].name}); name one of them")
        if found:
            sets.append(_from_table(found[0], attributes, pictures, missing))
        elif any(is_picture(path.name) for path in inside):
            flat.append(source)
        else:
            sets.append(_from_folders(source, attributes))
    if flat:
        train = {nfc(folder.name): folder for folder in flat}
        if len(train) < len(flat):
            raise DataError(
                f"two of the folders {', '.join(map(str, flat))} have the same name; domains are named for them"
            )
        sets.append(_exclusive(flat[0].parent, train, {}, attributes, f"one folder per domain: {', '.join(train)}"))
    return sets


def _from_folders(folder: Path, attributes: tuple[str, ...]) -> LabelSet:
    train = layouts.child(folder, "train")
    held = next((h for word in layouts.HELD_OUT_FOLDERS if (h := layouts.child(folder, word))), None) if train else None
    inside = layouts.named_subfolders(train or folder)
    if train is None and (split := _prefixed(inside)) is not None:
        return _exclusive(folder, *split, attributes, f"{folder.name}: {', '.join(inside)}, one folder per domain")
    if not inside:
        raise DataError(_no_domains(folder, train))
    layout = f"{folder.name}: one folder per domain"
    if held is None:
        return _exclusive(folder, inside, {}, attributes, layout)
    out = layouts.named_subfolders(held)
    if out.keys() != inside.keys():
        raise DataError(f"{folder}: {held.name} has the domains {', '.join(out)}, but train has {', '.join(inside)}")
    return _exclusive(folder, inside, out, attributes, f"{layout}; held out: {held.name}")


def _no_domains(folder: Path, train: Path | None) -> str:
    expected = "one sub-folder per domain, or a table of attributes"
    if train is None:
        return f"{folder}: no domains found: it has no sub-folders; it needs {expected}"
    pictures = count_of(sum(is_picture(path.name) for path in layouts.contents(train)), "picture")
    beside = [path.name for path in layouts.subfolders(folder) if path != train]
    found = f"{folder}: no domains found: {train.name} has {pictures} and no sub-folders"
    found += f", next to {layouts.list_first(beside)}" if beside else ""
    advice = f"a folder called {train.name} must have one sub-folder per domain"
    return f"{found}; {advice}. If {train.name} is itself a domain, rename it" + (" or name each folder" * bool(beside))


def _prefixed(inside: dict[str, Path]) -> tuple[dict[str, Path], dict[str, Path]] | None:
    """Return `trainA trainB ...` and any `testA testB ...` as the domains `A B ...`; None for other folder names."""
    splits: dict[str, dict[str, Path]] = {}
    for name, path in inside.items():
        word = next((w for w in ("train", *layouts.HELD_OUT_FOLDERS) if name.casefold().startswith(w)), "")
        splits.setdefault(word, {})[name[len(word) :].strip("_-")] = path
    if "" in splits or "train" not in splits:
        return None
    held = next((splits[word] for word in layouts.HELD_OUT_FOLDERS if word in splits), {})
    return (splits["train"], held) if not held or held.keys() == splits["train"].keys() else None


def _exclusive(
    folder: Path, train: dict[str, Path], held: dict[str, Path], attributes: tuple[str, ...], layout: str
) -> LabelSet:
    attributes = tuple(map(nfc, attributes))
    if absent := [name for name in attributes if name not in train]:
        raise DataError(f"{folder}: no domain {', '.join(absent)}; choose from {', '.join(train)}")
    columns = attributes or tuple(sorted(train))

    def items(domains: dict[str, Path]) -> list[LabelledPicture]:
        one_hot = np.eye(len(columns), dtype=np.uint8)
        found: list[LabelledPicture] = []
        for column, label in zip(columns, one_hot, strict=True):
            if column in domains:
                named = layouts.named_pictures(domains[column])
                found += [LabelledPicture(picture.name, picture.path, label) for picture in named]
        return found

    return LabelSet(folder.name, columns, True, items(train), items(held), layout)


def _from_table(file: Path, attributes: tuple[str, ...], pictures: Sequence[Path], missing: Missing) -> LabelSet:
    table = tables.read(file, wanted=attributes)
    below = [path for folder in pictures or [file.parent] for path in folders.find([folder])]
    # Look for the path as written below one of the folders, then for the bare file name anywhere below them.
    written: dict[str, list[Path]] = {}
    bare: dict[str, list[Path]] = {}
    for path in below:
        bare.setdefault(nfc(path.name), []).append(path)
        for top in pictures or [file.parent]:
            if path.is_relative_to(top):
                written.setdefault(nfc(path.relative_to(top).as_posix()), []).append(path)
    items: list[LabelledPicture] = []
    absent: list[str] = []
    for row in table.rows:
        name = Path(row.file).name
        places = written.get(nfc(row.file)) or bare.get(nfc(name), [])
        places = [path for path in places if path.name == name] or places  # an exact match wins
        if len(places) > 1:
            raise DataError(f"{file}: {row.file} exists twice, as {places[0]} and {places[1]}; set data.pictures")
        if places:
            items.append(LabelledPicture(nfc(Path(row.file).with_suffix("").as_posix()), places[0], row.values))
        else:
            absent.append(row.file)
    if not items or (absent and missing == "fail"):
        raise DataError(
            f"{file}: {len(absent)} of the {len(table.rows)} pictures that it lists are missing below "
            f"{', '.join(str(folder) for folder in pictures or [file.parent])} ({layouts.list_first(absent)}); set "
            "data.pictures to their folder, or data.missing = skip"
        )
    notes = [f"skipped, named in {file.name} but missing: {count_of(len(absent), 'picture')}"] if absent else []
    if unnamed := len(below) - len({item.path for item in items}):
        notes.append(f"skipped, not named in {file.name}: {count_of(unnamed, 'picture')}")
    if table.ignored:
        notes.append(f"columns of {file.name} that are not attributes: {', '.join(table.ignored)}")
    share = np.mean([item.label for item in items], axis=0)
    if same := [name for name, mean in zip(table.columns, share, strict=True) if mean in (0, 1)]:
        notes.append(f"{', '.join(same)}: the same for every picture, so there is nothing to learn")
    return LabelSet(file.parent.name, table.columns, False, items, [], f"attributes in {file.name}", notes)
