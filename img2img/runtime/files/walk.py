"""The pictures in a folder and in its subfolders, on this machine or in storage."""

# os.path answers False where pathlib raises (no permission, for example), and scandir makes no objects for names.
# ruff: noqa: PTH110, PTH116, PTH122

from __future__ import annotations

import os
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path

from img2img.errors import PictureError
from img2img.runtime.files import storage
from img2img.runtime.files.filters import Filters
from img2img.runtime.files.source import PICTURE_SUFFIXES, Source, is_hidden_folder, natural_name
from img2img.runtime.files.storage_uri import Location, StorageFile
from img2img.text import show

Entries = Callable[[Location], Iterable[tuple[str, bool]]]
"""The names in a folder, each with whether it is a folder."""


@dataclass(frozen=True, slots=True)
class Search:
    """How folders are searched. `exclude`: a folder that is never entered from above."""

    recursive: bool
    exclude: Location | None
    filters: Filters


def walk(top: Location, search: Search, inside: str = "") -> Iterator[Source | None]:
    """The pictures below `top`, a folder's own before those of its subfolders. None stands for what filters exclude.

    Filters see paths below `inside`, which is empty or ends in a slash.
    """
    entries = _on_disk if isinstance(top, Path) else _in_storage(top, recursive=search.recursive)
    entered = {_folder_id(search.exclude) if search.exclude is not None else None} - {_folder_id(top)}
    stack = [(top, inside)]
    filters = search.filters
    while stack:
        folder, inside = stack.pop()
        key = _folder_id(folder)
        if key is not None and key in entered:  # a second link to it, or a loop
            continue
        entered.add(key)
        try:
            files, folders = _pictures_and_folders(entries(folder))
        except OSError as error:
            yield Source(folder, root=top, problem=PictureError(f"{show(folder)}: {error.strerror}", path=str(folder)))
            continue
        for name in files:
            yield Source(folder / name, root=top) if filters.take(inside + name) else None
        for name in reversed(folders) if search.recursive else ():
            if filters.enter(inside + name):
                stack.append((folder / name, f"{inside}{name}/"))
            else:
                yield None


def has_subfolders(folder: Location) -> bool:
    entries = _on_disk if isinstance(folder, Path) else _in_storage(folder, recursive=False)
    return bool(_pictures_and_folders(entries(folder))[1])


def is_picture(name: str) -> bool:
    return os.path.splitext(name)[1].casefold() in PICTURE_SUFFIXES and not name.startswith(".")


def _pictures_and_folders(entries: Iterable[tuple[str, bool]]) -> tuple[list[str], list[str]]:
    """The names of pictures and of subfolders, each in natural order, without hidden ones."""
    files, folders = [], []
    for name, is_folder in entries:
        if is_folder and not is_hidden_folder(name):
            folders.append(name)
        elif not is_folder and is_picture(name):
            files.append(name)
    return sorted(files, key=natural_name), sorted(folders, key=natural_name)


def _on_disk(folder: Location) -> Iterator[tuple[str, bool]]:
    """Without pipes and devices. A dead link is listed, so that it is reported."""
    assert isinstance(folder, Path)
    with os.scandir(folder) as entries:
        for entry in entries:
            if _is(entry.is_dir):
                yield entry.name, True
            elif is_picture(entry.name) and (_is(entry.is_file) or not os.path.exists(entry)):
                yield entry.name, False


def _in_storage(top: StorageFile, *, recursive: bool) -> Entries:
    """One listing for the whole tree: each request to a storage takes time."""
    known: dict[Location, dict[str, bool]] = {}
    for path, info in storage.listing(top, recursive=recursive):
        parent, _, name = path.rpartition("/")
        known.setdefault(top / parent, {}).setdefault(name, info.is_folder)
        while parent:  # an object store has no folders, only names with slashes
            parent, _, name = parent.rpartition("/")
            above = known.setdefault(top / parent, {})
            if above.get(name):
                break
            above[name] = True
    return lambda folder: known.get(folder, {}).items()


def _is(test: Callable[[], bool]) -> bool:
    try:
        return test()
    except OSError:  # a link to itself
        return False


def _folder_id(folder: Location) -> object:
    if isinstance(folder, StorageFile):
        return folder
    try:
        status = os.stat(folder)
    except OSError:  # listing it fails as well, and is reported
        return None
    return status.st_dev, status.st_ino
