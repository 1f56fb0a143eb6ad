"""What a person typed -> the pictures meant: files, folders, globs, and `-` for stdin. Looks at names only."""

# os.path answers False where pathlib raises (no permission, say), and makes no objects for a hundred thousand names.
# ruff: noqa: PTH110, PTH112, PTH114, PTH116, PTH122, PTH207

from __future__ import annotations

import glob
import os
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import cache
from itertools import takewhile
from pathlib import Path

from img2img.errors import PictureError, UsageError
from img2img.runtime.files.filters import Filters
from img2img.runtime.files.source import (
    PICTURE_SUFFIXES,
    SYSTEM_FILES,
    SYSTEM_FOLDERS,
    PathIdentities,
    Source,
    _natural_part,
    natural,
)
from img2img.text import show


@dataclass(frozen=True, slots=True)
class _Search:
    recursive: bool
    exclude: Path | None
    filters: Filters


def collect(
    inputs: Sequence[str],
    *,
    listed: Sequence[str] = (),
    recursive: bool = False,
    exclude: Path | None = None,
    filters: Filters | None = None,
) -> list[Source]:
    """The pictures that `inputs` and then `listed` mean, in the order given, each once; a folder's in natural order.

    An input is a file, a folder (its pictures; the tree below it where `recursive`), a glob that the shell left alone,
    or `-`. What is `listed` (in a file) is a file or a folder, never a glob or stdin. Links are followed, and loops
    end. `exclude` is a folder never entered from above (an output folder that lies inside an input folder). `filters`
    hold for what folders and globs give, not for files named outright. What cannot be found, and a folder or a glob
    without pictures, becomes a Source with a problem, so that the rest can be done.

    Raises UsageError where a single input is given and there is nothing to do, and where there are no pictures at all.
    """
    search = _Search(recursive, exclude, filters or Filters())
    found: list[Source] = []
    seen: set[str] = set()
    identify = PathIdentities()
    for source in _expand_all(inputs, listed, search):
        key = "-" if source.path is None else identify(source.path)
        if key not in seen:
            seen.add(key)
            found.append(source)
    if len(inputs) == 1 and not listed and len(found) == 1 and found[0].problem is not None:
        raise UsageError(str(found[0].problem))
    if not found:
        through = " that --include and --exclude let through" if search.filters.active else ""
        raise UsageError(f"no pictures among the inputs{through}")
    return found


def _expand_all(inputs: Sequence[str], listed: Sequence[str], search: _Search) -> Iterator[Source]:
    for given in inputs:
        if given == "-":
            yield Source(None)
        elif os.path.lexists(given) or not glob.has_magic(given):
            yield from _expand(Path(given), search)
        else:
            yield from _glob(given, search)
    for given in listed:
        yield from _expand(Path(given), search)


def _expand(path: Path, search: _Search, inside: str = "", covered: bool = False) -> Iterator[Source]:
    if not os.path.isdir(path):
        if path.name.casefold() not in SYSTEM_FILES:
            yield Source(path, problem=_problem(path))
        return
    empty = True
    for source in _walk(path, search, inside, covered):
        empty = False
        if source is not None:
            yield source
    if empty:
        deeper = "" if search.recursive or not _split(path)[1] else " (add --recursive to look into its subfolders)"
        yield Source(path, problem=PictureError(f"{show(path)}: no pictures in this folder{deeper}"))


def _problem(path: Path) -> PictureError | None:
    try:
        os.stat(path)
    except FileNotFoundError:
        reason = "a link to something that does not exist" if os.path.islink(path) else "no such file or folder"
        return PictureError(f"{show(path)}: {reason}")
    except OSError as error:
        return PictureError(f"{show(path)}: {error.strerror}")
    except ValueError:  # a NUL byte
        return PictureError(f"{show(path)}: no file can be called that")
    return None


def _glob(pattern: str, search: _Search) -> Iterator[Source]:
    """Filters see what lies below the part of `pattern` before its first wildcard."""
    named = Path(*takewhile(lambda part: not glob.has_magic(part), Path(pattern).parts))
    in_output = _inside(search.exclude, named)
    matches = sorted((Path(match) for match in glob.iglob(pattern, recursive=True)), key=natural)

    @cache
    def enter(folder: Path) -> tuple[str, bool | None]:
        """What filters call `folder`, and what they say of it; None where nothing in it is meant."""
        below = folder.relative_to(named)
        hidden = any(part.casefold() in SYSTEM_FOLDERS for part in below.parts) or in_output(folder)
        inside = "" if below == Path() else f"{below.as_posix()}/"
        return inside, None if hidden else search.filters.enter_down_to(inside)

    empty = True
    for match in matches:
        if is_folder := os.path.isdir(match):
            inside, covered = enter(match)
        elif _is_picture(match.name):
            inside, covered = enter(match.parent)
        else:
            continue
        empty = False
        if covered is not None and (is_folder or search.filters.take(inside + match.name, covered)):
            yield from _expand(match, search, inside, covered)
    if empty:
        reason = "only files that are no pictures" if matches else "nothing"
        yield Source(Path(pattern), problem=PictureError(f"{show(pattern)}: the pattern matches {reason}"))


def _inside(exclude: Path | None, named: Path) -> Callable[[Path], bool]:
    """A test for folders at or below `exclude`, which nothing is where `named` itself lies there."""
    identify = PathIdentities()
    prefix = identify(exclude / "x")[:-1] if exclude is not None else None

    def test(folder: Path) -> bool:
        return prefix is not None and identify(folder / "x").startswith(prefix)

    return test if not test(named) else lambda _: False


def _walk(top: Path, search: _Search, inside: str, covered: bool) -> Iterator[Source | None]:
    """Pictures below `top`: a folder's own before those of its subfolders. None stands for what filters leave out.

    For the filters `top` is called `inside` (empty, or ending in a slash); `covered` is what they say of it.
    """
    entered = {_folder_id(search.exclude) if search.exclude is not None else None} - {_folder_id(top)}
    stack = [(top, inside, covered)]
    filters = search.filters
    while stack:
        folder, inside, covered = stack.pop()
        key = _folder_id(folder)
        if key is not None and key in entered:  # a second link to it, or a loop
            continue
        entered.add(key)
        try:
            files, folders = _split(folder)
        except OSError as error:
            yield Source(folder, root=top, problem=PictureError(f"{show(folder)}: {error.strerror}"))
            continue
        for name in files:
            taken = not filters.active or filters.take(inside + name, covered)
            yield Source(folder / name, root=top) if taken else None
        if search.recursive:
            for name in reversed(folders):
                below = filters.enter(inside + name, covered)
                if below is None:
                    yield None
                else:
                    stack.append((folder / name, f"{inside}{name}/", below))


def _split(folder: Path) -> tuple[list[str], list[str]]:
    """The names of pictures and of subfolders in `folder`, each in natural order. Pipes and devices are no pictures."""
    files, folders = [], []
    with os.scandir(folder) as entries:
        for entry in entries:
            name = entry.name
            if name.startswith("."):
                continue
            if _is(entry.is_dir):
                if name.casefold() not in SYSTEM_FOLDERS:
                    folders.append(name)
            elif _is_picture(name) and (
                _is(entry.is_file) or not os.path.exists(entry)
            ):  # a dead link is to be reported
                files.append(name)
    return sorted(files, key=_natural_name), sorted(folders, key=_natural_name)


def _natural_name(name: str) -> tuple[list[str | int], str]:
    return _natural_part(name), name


def _is(test: Callable[[], bool]) -> bool:
    try:
        return test()
    except OSError:  # a link to itself
        return False


def _is_picture(name: str) -> bool:
    return os.path.splitext(name)[1].casefold() in PICTURE_SUFFIXES and not name.startswith(".")


def _folder_id(folder: Path) -> tuple[int, int] | None:
    try:
        status = os.stat(folder)
    except OSError:  # listing it fails as well, and is reported
        return None
    return status.st_dev, status.st_ino
