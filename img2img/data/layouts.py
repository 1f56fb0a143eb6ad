"""Which folders are side A and side B, which of their pictures are held out. Looks at names only."""

import hashlib
import unicodedata
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple, TypeVar

from img2img.data import folders
from img2img.errors import DataError

HELD_SHARE = 1 / 20
HELD_MOST = 50
HELD_FOLDERS = ("val", "test")
"""Sub-folders that hold pictures out; the first that is there is taken, and the other left alone."""


class Named(NamedTuple):
    """A picture file, and its path below the folder that was named, without extension, as the name it goes by."""

    name: str
    path: Path


@dataclass(frozen=True)
class Sides:
    """Folders of side A and side B, to train on and held out; `layout` says in words what was recognised."""

    train: tuple[Path, Path]
    held: tuple[Path, Path] | None
    layout: str


def named(folder: Path) -> list[Named]:
    """Every picture below `folder` with its name.

    Raises:
        DataError: there is no such folder, or no picture in it.
    """
    # Macs write accents as characters of their own (NFD): the same name, as a person sees it.
    return [
        Named(unicodedata.normalize("NFC", path.relative_to(folder).with_suffix("").as_posix()), path)
        for path in folders.find([folder])
    ]


def find_sides(sources: Sequence[Path]) -> Sides | None:
    """The sides in one folder (`trainA trainB`, `A B`, `A/train B/train`, `train/A train/B`) or two (A, then B).

    None: the one folder has no sides.

    Raises:
        DataError: there is A without B, or B without A; a folder does not exist; more than two are given.
    """
    for source in sources:
        if not source.is_dir():
            raise DataError(f"{source}: there is no such folder")
    if len(sources) > 2:
        raise DataError(f"{len(sources)} folders: give one that holds A and B, or two, first A, then B")
    words = ("train", "", *HELD_FOLDERS)
    if len(sources) == 2:
        found = {word: _both([child(s, word) if word else s for s in sources], sources[0], word) for word in words}
    else:
        found = {word: _both([_side(sources[0], word, side) for side in "AB"], sources[0], word) for word in words}
    train = found["train"] or found[""]
    if train is None:
        return None
    held = next((found[word] for word in HELD_FOLDERS if found[word] is not None), None)
    top = sources[0] if len(sources) == 1 else None
    layout = f"A is {_short(train[0], top)}, B is {_short(train[1], top)}"
    if held is not None:
        layout += f"; held out: {_short(held[0], top)} and {_short(held[1], top)}"
        layout += f" ({HELD_FOLDERS[1]} is left alone)" if all(found[word] for word in HELD_FOLDERS) else ""
    return Sides(train, held, layout)


def child(folder: Path, name: str) -> Path | None:
    """The sub-folder of `folder` called `name`, in upper or lower case."""
    return next((path for path in subfolders(folder) if path.name.casefold() == name.casefold()), None)


def subfolders(folder: Path) -> list[Path]:
    """The sub-folders, sorted; hidden ones and those of operating systems are left out."""
    return sorted(path for path in folder.iterdir() if path.is_dir() and not path.name.startswith((".", "__MACOSX")))


def share(name: str) -> float:
    """A number 0..1 that is fixed for each name and spread evenly over names."""
    digest = hashlib.sha256(name.encode("utf-8", "surrogateescape")).digest()
    return int.from_bytes(digest[:8], "big") / 2**64


def held_names(names: Iterable[str], *, what: str) -> set[str]:
    """The names to hold out: a twentieth, at least 1 and at most 50, chosen by a hash of each name.

    A name is chosen whatever other names there are (save for the bounds), so that pictures that are added later
    move none from one side to the other, and the same name falls on the same side in every folder.

    Raises:
        DataError: there are fewer than two names; `what` says of what.
    """
    ordered = sorted(set(names), key=lambda name: (share(name), name))
    if len(ordered) < 2:
        raise DataError(f"{what}: one picture cannot be both trained on and validated with; give more")
    return set([name for name in ordered if share(name) < HELD_SHARE][:HELD_MOST] or ordered[:1])


Item = TypeVar("Item")


def at_most(items: Sequence[Item], names: Sequence[str], most: int) -> list[Item]:
    """At most `most` of `items`, in order; by their names' hash, so that lists with the same names keep the same."""
    places = sorted(range(len(items)), key=lambda place: (share(names[place]), names[place]))[:most]
    return [items[place] for place in sorted(places)]


def first(names: Iterable[str], most: int = 5) -> str:
    """The first few of `names` for a message."""
    listed = sorted(names)
    return ", ".join(listed[:most]) + (", ..." if len(listed) > most else "")


def _side(top: Path, word: str, side: str) -> Path | None:
    if not word:
        return child(top, side)
    for outer, inner in ((side, word), (word, side)):
        folder = child(top, outer)
        if folder is not None and (found := child(folder, inner)) is not None:
            return found
    return child(top, f"{word}{side}") or child(top, f"{word}_{side}")


def _both(pair: Sequence[Path | None], top: Path, word: str) -> tuple[Path, Path] | None:
    a, b = pair
    if a is not None and b is not None:
        return a, b
    if a is None and b is None:
        return None
    there, missing = ("A", "B") if b is None else ("B", "A")
    of = f"{word} of " if word else ""
    raise DataError(f"{top}: there is {of}{there} ({a or b}) without {of}{missing}")


def _short(folder: Path, top: Path | None) -> str:
    return str(folder if top is None else folder.relative_to(top))
