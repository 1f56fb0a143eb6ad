"""Finds the pictures that the user named: files, folders, globs, URIs, and `-` for stdin. Looks at names only."""

# os.path answers False where pathlib raises (no permission, for example).
# ruff: noqa: PTH112, PTH114, PTH116, PTH207

from __future__ import annotations

import glob
import os
from collections.abc import Callable, Iterator, Sequence
from functools import cache
from itertools import takewhile
from pathlib import Path

from img2img.errors import PictureError, UsageError
from img2img.runtime.files import storage
from img2img.runtime.files.filters import Filters
from img2img.runtime.files.source import SYSTEM_FILES, SYSTEM_FOLDERS, PathIdentities, Source, natural, on_disk
from img2img.runtime.files.storage_uri import Location, StorageFile, is_uri, parse, without_file_scheme
from img2img.runtime.files.walk import Search, has_subfolders, is_picture, walk
from img2img.text import show


def collect(
    inputs: Sequence[str],
    *,
    listed: Sequence[str] = (),
    recursive: bool = False,
    exclude: Location | None = None,
    filters: Filters | None = None,
) -> list[Source]:
    """The pictures of `inputs` and then of `listed`, in the order given, each once; a folder's in natural order.

    An input is a file, a folder (its pictures; with `recursive` those of its subfolders too), a glob that the shell
    did not expand, a URI of a file or folder, or `-`. An entry of `listed` (from a file) is never a glob or stdin.
    Links are followed, and loops end. Folders are searched without `exclude` (an output folder inside an input
    folder), unless it lies around them. `filters` apply to what folders and globs contain, not to files that are named
    themselves. What does not exist, and a folder or glob without pictures, becomes a Source with a problem, so that
    the rest can be processed.

    Raises UsageError if the only input has a problem, if there are no pictures at all, or if a storage does not answer.
    """
    inputs, listed = [list(map(without_file_scheme, names)) for names in (inputs, listed)]
    search = Search(recursive, exclude, filters or Filters())
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


def _expand_all(inputs: Sequence[str], listed: Sequence[str], search: Search) -> Iterator[Source]:
    files = {name: parse(name) for name in (*inputs, *listed) if is_uri(name)}
    infos = dict(zip(files, storage.look(list(files.values())), strict=True)) if files else {}
    for given in inputs:
        if given == "-":
            yield Source(None)
        elif given in files:
            yield from _expand_uri(files[given], infos[given], search)
        elif os.path.lexists(given) or not glob.has_magic(given):
            yield from _expand_path(Path(given), search)
        else:
            yield from _glob(given, search)
    for given in listed:
        if given in files:
            yield from _expand_uri(files[given], infos[given], search)
        else:
            yield from _expand_path(Path(given), search)


def _expand_uri(file: StorageFile, info: storage.FileInfo | None, search: Search) -> Iterator[Source]:
    if info is None:
        hint = ": for a pattern, name the folder and add --include PATTERN" if glob.has_magic(file.path) else ""
        yield Source(file, problem=PictureError(f"{show(file)}: no such file or folder{hint}", path=str(file)))
    elif info.is_folder:
        yield from _expand_folder(file, search)
    else:
        yield Source(file)


def _expand_path(path: Path, search: Search, inside: str = "") -> Iterator[Source]:
    path = on_disk(path)
    if os.path.isdir(path):
        yield from _expand_folder(path, search, inside)
    elif path.name.casefold() not in SYSTEM_FILES:
        yield Source(path, problem=_problem(path))


def _expand_folder(folder: Location, search: Search, inside: str = "") -> Iterator[Source]:
    empty = True
    for source in walk(folder, search, inside):
        empty = False
        if source is not None:
            yield source
    if empty:
        hint = " (add --recursive to look into its subfolders)"
        deeper = hint if not search.recursive and has_subfolders(folder) else ""
        problem = PictureError(f"{show(folder)}: no pictures in this folder{deeper}", path=str(folder))
        yield Source(folder, problem=problem)


def _problem(path: Path) -> PictureError | None:
    try:
        os.stat(path)
        return None
    except FileNotFoundError:
        is_link = os.path.islink(path)
        reason: str | None = "a link to something that does not exist" if is_link else "no such file or folder"
    except OSError as error:
        reason = error.strerror
    except ValueError:  # a NUL byte
        reason = "no file can have this name"
    return PictureError(f"{show(path)}: {reason}", path=str(path))


def _glob(pattern: str, search: Search) -> Iterator[Source]:
    """Filters see what lies below the part of `pattern` before its first wildcard."""
    named = Path(*takewhile(lambda part: not glob.has_magic(part), Path(pattern).parts))
    in_output = _below_excluded(search.exclude, named)
    matches = sorted((Path(match) for match in glob.iglob(pattern, recursive=True)), key=natural)

    @cache
    def enter(folder: Path) -> str | None:
        """What filters call `folder`; None if it is not searched."""
        below = folder.relative_to(named)
        if any(part.casefold() in SYSTEM_FOLDERS for part in below.parts) or in_output(folder):
            return None
        inside = "" if below == Path() else f"{below.as_posix()}/"
        return inside if search.filters.enter_down_to(inside) else None

    empty = True
    for match in matches:
        if is_folder := os.path.isdir(match):
            inside = enter(match)
        elif is_picture(match.name):
            inside = enter(match.parent)
        else:
            continue
        empty = False
        if inside is not None and (is_folder or search.filters.take(inside + match.name)):
            yield from _expand_path(match, search, inside)
    if empty:
        reason = "only files that are no pictures" if matches else "nothing"
        problem = PictureError(f"{show(pattern)}: the pattern matches {reason}", path=pattern)
        yield Source(Path(pattern), problem=problem)


def _below_excluded(exclude: Location | None, named: Path) -> Callable[[Path], bool]:
    """A test for folders at or below `exclude`; always False if `named` itself lies there."""
    identify = PathIdentities()
    prefix = identify(exclude / "x")[:-1] if exclude is not None else None

    def test(folder: Path) -> bool:
        return prefix is not None and identify(folder / "x").startswith(prefix)

    return test if not test(named) else lambda _: False
