"""One picture to read, and how file names compare."""

# os.path answers False where pathlib raises (no permission, say), and makes no objects for a hundred thousand names.
# ruff: noqa: PTH112, PTH118, PTH208

from __future__ import annotations

import os
import re
import sys
from dataclasses import dataclass
from pathlib import Path

from img2img.errors import PictureError
from img2img.runtime.files.storage_uri import Location, StorageFile
from img2img.text import nfc

# What is taken from a folder or a glob. A file that is named outright is tried whatever it is called.
PICTURE_SUFFIXES = frozenset(
    (".png", ".apng", ".jpg", ".jpeg", ".jpe", ".jfif", ".webp", ".tif", ".tiff", ".bmp", ".dib", ".avif", ".gif")
)
# Passed over even when a shell's `*` names them; names that start with a dot are passed over in folders.
SYSTEM_FILES = frozenset({"thumbs.db", "ehthumbs.db", "desktop.ini", ".ds_store"})
# Folders that operating systems, network drives and notebooks make. Neither batches nor data sets look into them.
SYSTEM_FOLDERS = frozenset(
    (
        *("__macosx", ".trashes", "@eadir", "@recycle", "@recently-snapshot", "#recycle", "#snapshot"),
        *("$recycle.bin", "system volume information", "lost+found", ".ipynb_checkpoints"),
    )
)

_DIGITS = re.compile(r"(\d+)")


@dataclass(frozen=True, slots=True)
class Source:
    """One picture to read.

    Attributes:
        path: None for stdin.
        root: the folder that the user named, if the picture was found inside it. Results keep the tree below it.
        problem: why it cannot be read, if that is known already.
    """

    path: Location | None
    root: Location | None = None
    problem: PictureError | None = None


def natural(path: Path | str) -> tuple[object, ...]:
    """Sort key that puts `photo2` before `photo10`, folder by folder and without regard to case."""
    parts = (path if isinstance(path, Path) else Path(path)).parts
    return [_natural_part(part) for part in parts], parts


def natural_name(name: str) -> tuple[list[str | int], str]:
    """`natural` for names without folders."""
    return _natural_part(name), name


def _natural_part(part: str) -> list[str | int]:
    pieces: list[str | int] = [*_DIGITS.split(part.casefold())]
    pieces[1::2] = map(int, pieces[1::2])  # text and numbers alternate, so that like is compared with like
    return pieces


class PathIdentities:
    """`identity` of many paths: each folder is looked up once."""

    def __init__(self) -> None:
        self._folders: dict[str, str] = {}

    def __call__(self, path: Location) -> str:
        if isinstance(path, StorageFile):
            return path.root + path.path
        folder, name = os.path.split(str(path))
        if name in ("", ".", ".."):
            return _one_spelling(os.path.realpath(path))
        real = self._folders.get(folder)
        if real is None:
            real = self._folders[folder] = os.path.join(os.path.realpath(folder), "")
        return _one_spelling(real + name)


def identity(path: Location) -> str:
    """Two names with one identity are one file, as far as names tell. A link and its target have two."""
    return PathIdentities()(path)


def _one_spelling(path: str) -> str:
    return fold(path) if sys.platform == "darwin" else os.path.normcase(path)


def on_disk(path: Path) -> Path:
    """`path`, or the path of what exists in its place with its accents composed in another way.

    An exact match wins. Where several names differ only in this and none matches exactly, `path` is returned.
    """
    if str(path).isascii() or os.path.lexists(path):
        return path
    parent = on_disk(path.parent)
    try:
        alike = [name for name in os.listdir(parent) if nfc(name) == nfc(path.name)]
    except (OSError, ValueError):
        return path
    return parent / alike[0] if len(alike) == 1 or path.name in alike else path


def is_hidden_folder(name: str) -> bool:
    """Whether a search passes over a folder of this name, unless the user names it."""
    return name.startswith(".") or name.casefold() in SYSTEM_FOLDERS


def fold(path: str) -> str:
    """One spelling for all names that are one file where case does not count, nor how accents are composed."""
    return nfc(path).casefold()


def ignores_case(folder: Path) -> bool:
    """Whether `a` and `A` are one file in `folder`, which need not exist yet; False where nothing there can tell.

    Found out without writing: a name that is there is looked up in the other case.
    """
    while not os.path.isdir(folder) and folder != folder.parent:
        folder = folder.parent
    try:
        names = set(os.listdir(folder))
        probes = [(folder, name) for name in names if name.swapcase() not in names]
        if not probes and not os.path.ismount(folder):
            named = Path(os.path.realpath(folder))
            probes = [(named.parent, named.name)]
        for within, name in probes:
            if name.swapcase() != name:
                return os.path.lexists(within / name.swapcase())
    except OSError:
        pass  # a folder that may not be listed tells nothing
    return False
