"""What a person typed -> the pictures meant: files, folders, globs, and `-` for stdin. Looks at names only."""

# os.path answers False where pathlib raises (no permission, say), and its abspath leaves links alone.
# ruff: noqa: PTH100, PTH110, PTH112, PTH113, PTH118, PTH207, PTH208

from __future__ import annotations

import glob
import os
import re
import sys
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from img2img.errors import PictureError, UsageError
from img2img.runtime.naming import show

# What is taken from a folder or a glob. A file that is named outright is tried whatever it is called.
PICTURE_SUFFIXES = frozenset(
    (".png", ".apng", ".jpg", ".jpeg", ".jpe", ".jfif", ".webp", ".tif", ".tiff", ".bmp", ".dib", ".avif", ".gif")
)
# Passed over even when a shell's `*` names them; names that start with a dot are passed over in folders.
SYSTEM_FILES = frozenset({"thumbs.db", "ehthumbs.db", "desktop.ini", ".ds_store"})
SYSTEM_FOLDERS = frozenset({"__macosx", "@eadir", "$recycle.bin", "system volume information"})


@dataclass(frozen=True, slots=True)
class Source:
    """One picture to be read.

    `path` is None for stdin. `root` is the folder that was named when the picture was found inside it, so that the
    tree below it can be kept. `problem` is set when it is known beforehand that nothing can be read.
    """

    path: Path | None
    root: Path | None = None
    problem: PictureError | None = None


def natural(path: Path | str) -> tuple[object, ...]:
    """Sort key that puts `photo2` before `photo10`, folder by folder and without regard to case."""
    parts = Path(path).parts
    pieces = tuple(
        tuple((0, int(run), "") if run.isdecimal() else (1, 0, run) for run in re.split(r"(\d+)", part.casefold()))
        for part in parts
    )
    return (*pieces, parts)


def identity(path: Path) -> str:
    """Two names with one identity are one file, as far as names can tell (symbolic links at the end stay apart)."""
    folder, name = os.path.split(os.path.abspath(path))
    key = os.path.normcase(os.path.join(os.path.realpath(folder), name))
    return key.casefold() if sys.platform == "darwin" else key


def collect(inputs: Sequence[str], *, recursive: bool = False, exclude: Path | None = None) -> list[Source]:
    """The pictures that `inputs` mean, in the order given, each once; what a folder holds is in natural order.

    An input is a file, a folder (its pictures; the tree below it where `recursive`), a glob that the shell left alone,
    or `-`. Links are followed, and loops end. `exclude` is a folder never entered from above (an output folder that
    lies inside an input folder). What cannot be found becomes a Source with a problem, so that the rest can be done.

    Raises UsageError where a single input is given and there is nothing to do.
    """
    found: list[Source] = []
    seen: set[str] = set()
    for source in _expand_all(inputs, recursive, exclude):
        key = "-" if source.path is None else identity(source.path)
        if key not in seen:
            seen.add(key)
            found.append(source)
    if len(inputs) == 1 and len(found) == 1 and found[0].problem is not None:
        raise UsageError(str(found[0].problem))
    if not found:
        raise UsageError("no pictures among the inputs")
    return found


def _expand_all(inputs: Sequence[str], recursive: bool, exclude: Path | None) -> Iterator[Source]:
    for given in inputs:
        if given == "-":
            yield Source(None)
        elif os.path.lexists(given) or not glob.has_magic(given):
            yield from _expand(Path(given), recursive, exclude)
        else:
            matches = sorted((Path(match) for match in glob.iglob(given, recursive=True)), key=natural)
            pictures = [match for match in matches if os.path.isdir(match) or _is_picture(match)]
            if not pictures:
                reason = "only files that are no pictures" if matches else "nothing"
                yield Source(Path(given), problem=PictureError(f"{show(given)}: the pattern matches {reason}"))
            for match in pictures:
                yield from _expand(match, recursive, exclude)


def _expand(path: Path, recursive: bool, exclude: Path | None) -> Iterator[Source]:
    if not os.path.isdir(path):
        if path.name.casefold() not in SYSTEM_FILES:
            yield Source(path, problem=_problem(path))
        return
    empty = True
    for source in _walk(path, recursive, exclude):
        empty = False
        yield source
    if empty:
        deeper = "" if recursive or not _split(path)[1] else " (add --recursive to look into its subfolders)"
        yield Source(path, problem=PictureError(f"{show(path)}: no pictures in this folder{deeper}"))


def _problem(path: Path) -> PictureError | None:
    try:
        path.stat()
    except FileNotFoundError:
        reason = "a link to something that does not exist" if path.is_symlink() else "no such file or folder"
        return PictureError(f"{show(path)}: {reason}")
    except OSError as error:
        return PictureError(f"{show(path)}: {error.strerror}")
    return None


def _walk(top: Path, recursive: bool, exclude: Path | None) -> Iterator[Source]:
    """Pictures below `top`: a folder's own before those of its subfolders."""
    entered = {_folder_id(exclude)} if exclude is not None and exclude.is_dir() else set()
    entered.discard(_folder_id(top))
    stack = [top]
    while stack:
        folder = stack.pop()
        try:
            if (key := _folder_id(folder)) in entered:  # a second link to it, or a loop
                continue
            entered.add(key)
            files, folders = _split(folder)
        except OSError as error:
            yield Source(folder, root=top, problem=PictureError(f"{show(folder)}: {error.strerror}"))
            continue
        for file in files:
            yield Source(file, root=top)
        if recursive:
            stack += reversed(folders)


def _split(folder: Path) -> tuple[list[Path], list[Path]]:
    """The pictures and the subfolders in `folder`, each in natural order. Pipes and devices are no pictures."""
    files, folders = [], []
    for name in os.listdir(folder):
        path = folder / name
        if name.startswith("."):
            continue
        if os.path.isdir(path):
            if name.casefold() not in SYSTEM_FOLDERS:
                folders.append(path)
        elif _is_picture(path) and (os.path.isfile(path) or not os.path.exists(path)):  # a dead link is to be reported
            files.append(path)
    return sorted(files, key=natural), sorted(folders, key=natural)


def _is_picture(path: Path) -> bool:
    return path.suffix.casefold() in PICTURE_SUFFIXES and not path.name.startswith(".")


def _folder_id(folder: Path) -> tuple[int, int]:
    status = folder.stat()
    return status.st_dev, status.st_ino
