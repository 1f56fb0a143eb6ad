"""The pictures of a run, to tell which have changed when it continues, wherever they lie now."""

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from img2img.data import folders
from img2img.data.layouts import list_first
from img2img.errors import DataError
from img2img.section import Section
from img2img.text import nfc

Inventory = dict[str, int]
"""Size in bytes of each picture, by the setting that names its folder, the number of the folder, and its path below."""


def places(data: Section) -> dict[str, tuple[Path, ...]]:
    """Return the files and folders that the data section `data` names, by key: `folders`, `masks.folders` and so on."""
    found: dict[str, tuple[Path, ...]] = {}
    for key in type(data).model_fields:
        value: Any = getattr(data, key)
        if isinstance(value, Section):
            found |= {f"{key}.{inner}": paths for inner, paths in places(value).items()}
        elif isinstance(value, Path):
            found[key] = (value,)
        elif isinstance(value, tuple) and value and all(isinstance(one, Path) for one in value):
            found[key] = value
    return found


def take(data: Section) -> Inventory:
    """Look up the size of every picture that `data` names. Reads no picture."""
    sizes: Inventory = {}
    for key, paths in places(data).items():
        for number, place in enumerate(paths):
            for top, file in _files(place):
                try:
                    size = file.stat().st_size
                except OSError:  # a dead link
                    size = -1
                sizes[f"{key}/{number}/{nfc(file.relative_to(top).as_posix())}"] = size
    return sizes


@dataclass(frozen=True)
class Difference:
    """Names of the pictures that differ between two inventories, and how many are equal."""

    added: list[str]
    missing: list[str]
    changed: list[str]
    equal: int

    def __bool__(self) -> bool:
        return bool(self.added or self.missing or self.changed)

    def __str__(self) -> str:
        kinds = (("added", self.added), ("missing", self.missing), ("of another size", self.changed))
        return ", ".join(f"{len(names)} {kind} ({list_first(names, 3)})" for kind, names in kinds if names)


def compare(before: Inventory, now: Inventory) -> Difference:
    """Compare two inventories. Names are paths below the folders that the settings name."""

    def names(keys: set[str]) -> list[str]:
        return sorted(key.split("/", 2)[-1] for key in keys)

    both = before.keys() & now.keys()
    changed = {key for key in both if before[key] != now[key]}
    return Difference(
        names(now.keys() - both), names(before.keys() - both), names(changed), equal=len(both) - len(changed)
    )


def _files(place: Path) -> Iterator[tuple[Path, Path]]:
    """The pictures of a folder, or a table and the pictures next to it, each with the folder that names begin below."""
    top = place.parent if place.is_file() else place
    if place.is_file():
        yield top, place
    try:
        for file in folders.find([top]):
            yield top, file
    except DataError:  # no pictures: the method says so
        return
