"""Finds the picture of a folder that belongs to an input, by its name."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path

from img2img.errors import PictureError, UsageError
from img2img.runtime.files.find import collect
from img2img.runtime.files.source import Source
from img2img.text import count_of, nfc, show

LOW, HIGH = "_LR", "_HR"
"""How names of low and high resolution end in benchmarks of super-resolution."""


def match(
    folder: Path, sources: Sequence[Source], *, is_truth: bool = False
) -> tuple[list[Path | PictureError], list[Path]]:
    """Find the picture of each source in a folder and its subfolders.

    The first rule that finds something counts: the same path below the folder, the same name with another extension,
    the same name in another subfolder, and `NAME_...`, which is how img2img names results. With `is_truth`, `NAME_HR`
    for `NAME_LR` comes before all of them.

    Returns:
        For each source its picture, or what is wrong: it has none, it has several, or another source has the same one.
        And the pictures that belong to no source.

    Raises:
        UsageError: the folder has no pictures, or none for any source.
    """
    index = _Index(folder, {_stem(source) for source in sources}, is_truth=is_truth)
    found: list[Path | PictureError] = []
    taken: dict[Path, Source] = {}
    for source in sources:
        try:
            path = index.find(source)
            if path in taken:
                other = show(taken[path].path)
                raise PictureError(f"{show(source.path)}: {show(path)} already belongs to {other}; rename one of them")
            taken[path] = source
            found.append(path)
        except PictureError as error:
            error.path = str(source.path)
            found.append(error)
    if not taken:
        first = next(one for one in found if isinstance(one, PictureError))
        raise UsageError(f"{show(folder)}: none of its {count_of(len(index.paths), 'picture')} fits an input ({first})")
    return found, [path for path in index.paths if path not in taken]


def inside(source: Source) -> Path:
    """The path of a picture below the folder that the user named; the name of a file that was named itself."""
    path, root = source.path, source.root
    assert isinstance(path, Path)
    return path.relative_to(root) if isinstance(root, Path) and path.is_relative_to(root) else Path(path.name)


class _Index:
    """The pictures of a folder by path and by name. `stems`: the names of all inputs."""

    def __init__(self, folder: Path, stems: set[str], *, is_truth: bool) -> None:
        self.folder = folder
        self.is_truth = is_truth
        self.paths = [one.path for one in collect([str(folder)], recursive=True) if isinstance(one.path, Path)]
        self._stems = stems
        self._by_path = {nfc(path.relative_to(folder).as_posix()): path for path in self.paths}
        self._by_place = _grouped(
            (nfc(path.relative_to(folder).with_suffix("").as_posix()), path) for path in self.paths
        )
        self._by_stem = _grouped((nfc(path.stem), path) for path in self.paths)

    def find(self, source: Source) -> Path:
        """Raises PictureError if there is no picture or more than one."""
        place, stem = inside(source), _stem(source)
        exact = self._by_path.get(nfc(place.as_posix()))
        for candidates in (
            self._by_stem.get(stem.removesuffix(LOW) + HIGH, []) if self.is_truth and stem.endswith(LOW) else [],
            [exact] if exact is not None else [],
            self._by_place.get(nfc(place.with_suffix("").as_posix()), []),
            self._by_stem.get(stem, []),
            self._derived(stem),
        ):
            if len(candidates) > 1:
                names = ", ".join(show(path.relative_to(self.folder)) for path in candidates[:3])
                raise PictureError(f"{show(source.path)}: several pictures in {show(self.folder)} fit it: {names}")
            if candidates:
                return candidates[0]
        raise PictureError(f"{show(source.path)}: no picture with its name in {show(self.folder)}")

    def _derived(self, stem: str) -> list[Path]:
        """Pictures whose name continues the stem, except those that have the name of another input."""
        names = [name for name in self._by_stem if name.startswith(f"{stem}_") and name not in self._stems]
        return [path for name in names for path in self._by_stem[name]]


def _stem(source: Source) -> str:
    return nfc(inside(source).stem)


def _grouped(pairs: Iterable[tuple[str, Path]]) -> Mapping[str, list[Path]]:
    found: dict[str, list[Path]] = defaultdict(list)
    for key, path in pairs:
        found[key].append(path)
    return dict(found)
