"""Finds the folders of side A and side B, and chooses held-out pictures. Looks only at names."""

import hashlib
import os
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple, TypeVar

from img2img.data import folders
from img2img.errors import DataError
from img2img.runtime.files.source import is_hidden_folder
from img2img.text import nfc, show

HELD_OUT_SHARE = 1 / 20
MAX_HELD_OUT = 50
HELD_OUT_FOLDERS = ("val", "test")
"""Sub-folders with held-out pictures. The first one found is used; the other is ignored."""


class NamedPicture(NamedTuple):
    """A picture file, and its path below the given folder without extension as its name."""

    name: str
    path: Path


@dataclass(frozen=True)
class Sides:
    """The folders of side A and side B, for training and held out. `layout` describes what was recognised."""

    train: tuple[Path, Path]
    held_out: tuple[Path, Path] | None
    layout: str


def named_pictures(folder: Path) -> list[NamedPicture]:
    """Return every picture below `folder` with its name.

    Raises:
        DataError: the folder does not exist or has no pictures.
    """
    # macOS stores accents as separate characters (NFD). Normalising makes equal-looking names equal.
    return [
        NamedPicture(nfc(path.relative_to(folder).with_suffix("").as_posix()), path) for path in folders.find([folder])
    ]


def find_sides(sources: Sequence[Path]) -> Sides | None:
    """Find the sides in one folder (`trainA trainB`, `A B`, `A/train B/train`, `train/A train/B`) or two (A, then B).

    Returns None if the single folder has no sides.

    Raises:
        DataError: A exists without B, or B without A; a folder does not exist; more than two folders are given.
    """
    for source in sources:
        if not source.is_dir():
            raise DataError(f"{source}: no such folder")
    if len(sources) > 2:
        raise DataError(f"{len(sources)} folders given; give one that contains A and B, or two, first A, then B")
    words = ("train", "", *HELD_OUT_FOLDERS)
    if len(sources) == 2:
        found = {
            word: _both_sides([child(s, word) if word else s for s in sources], sources[0], word) for word in words
        }
    else:
        found = {
            word: _both_sides([_side(sources[0], word, side) for side in "AB"], sources[0], word) for word in words
        }
    train = found["train"] or found[""]
    if train is None:
        return None
    held = next((found[word] for word in HELD_OUT_FOLDERS if found[word] is not None), None)
    top = sources[0] if len(sources) == 1 else None
    layout = f"A is {_relative(train[0], top)}, B is {_relative(train[1], top)}"
    if held is not None:
        layout += f"; held out: {_relative(held[0], top)} and {_relative(held[1], top)}"
        layout += f" ({HELD_OUT_FOLDERS[1]} is ignored)" if all(found[word] for word in HELD_OUT_FOLDERS) else ""
    return Sides(train, held, layout)


def child(folder: Path, name: str) -> Path | None:
    """Return the sub-folder of `folder` called `name`, in upper or lower case."""
    return next((path for path in subfolders(folder) if path.name.casefold() == name.casefold()), None)


def subfolders(folder: Path) -> list[Path]:
    """Return the sub-folders, sorted, without hidden folders and those of operating systems.

    Raises:
        DataError: the folder cannot be listed.
    """
    return [path for path in contents(folder) if not is_hidden_folder(path.name) and os.path.isdir(path)]  # noqa: PTH112


def named_subfolders(folder: Path) -> dict[str, Path]:
    """Return the sub-folders by name.

    Raises:
        DataError: the folder cannot be listed, or two names differ only in how accents are stored.
    """
    found: dict[str, Path] = {}
    for path in subfolders(folder):
        if nfc(path.name) in found:
            raise DataError(
                f"{folder}: two folders are called {show(path.name)}, with the accents stored in two ways; merge them"
            )
        found[nfc(path.name)] = path
    return found


def contents(folder: Path) -> list[Path]:
    """Return what is in `folder`, sorted.

    Raises:
        DataError: the folder cannot be listed.
    """
    try:
        return sorted(folder.iterdir())
    except OSError as error:
        raise DataError(f"{folder}: {error.strerror}", path=folder) from error


def hash_fraction(name: str) -> float:
    """Return a number 0..1 that is fixed for each name and evenly distributed over names."""
    digest = hashlib.sha256(name.encode("utf-8", "surrogateescape")).digest()
    return int.from_bytes(digest[:8], "big") / 2**64


def held_out_names(names: Iterable[str], *, what: str) -> set[str]:
    """Choose the names to hold out by a hash of each name: a twentieth, at least 1 and at most 50.

    Apart from these limits, the choice of a name does not depend on other names. Pictures added later never move one to
    the other side, and the same name falls on the same side in every folder.

    Raises:
        DataError: there are fewer than two names; the message starts with `what`.
    """
    by_hash = sorted(set(names), key=lambda name: (hash_fraction(name), name))
    if len(by_hash) < 2:
        raise DataError(f"{what}: one picture cannot serve for both training and validation; add more")
    return set([name for name in by_hash if hash_fraction(name) < HELD_OUT_SHARE][:MAX_HELD_OUT] or by_hash[:1])


Item = TypeVar("Item")


def at_most(items: Sequence[Item], names: Sequence[str], most: int) -> list[Item]:
    """Return at most `most` of `items`, in order.

    Chooses by the hash of their names, so that lists with equal names keep the same items.
    """
    places = sorted(range(len(items)), key=lambda place: (hash_fraction(names[place]), names[place]))[:most]
    return [items[place] for place in sorted(places)]


def list_first(names: Iterable[str], most: int = 5) -> str:
    """List the first few of `names` for a message."""
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


def _both_sides(pair: Sequence[Path | None], top: Path, word: str) -> tuple[Path, Path] | None:
    a, b = pair
    if a is not None and b is not None:
        return a, b
    if a is None and b is None:
        return None
    present, missing = ("A", "B") if b is None else ("B", "A")
    raise DataError(f"{top}: found {word}{present} ({a or b}), but no {word}{missing}")


def _relative(folder: Path, top: Path | None) -> str:
    return str(folder if top is None else folder.relative_to(top))
