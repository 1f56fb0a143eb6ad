"""What is at the outputs of a batch before it runs: files that exist, and reasons why an output cannot be written."""

# os.path answers False where pathlib raises (no permission, for example).
# ruff: noqa: PTH110, PTH112, PTH116

from __future__ import annotations

import os
import stat
from collections.abc import Iterable
from functools import cache
from pathlib import Path

from img2img.runtime.files import storage
from img2img.runtime.files.storage_uri import Location, StorageFile
from img2img.text import show


class Targets:
    """Looks at outputs. Asks a storage for all of `files` at once and checks each folder once.

    Raises UsageError if a storage does not answer.
    """

    def __init__(self, files: Iterable[Location | None]) -> None:
        self._in_storage = storage.existing(file for file in files if isinstance(file, StorageFile))
        self._why_unwritable_folder = cache(_why_unwritable_folder)

    def is_file(self, target: Location) -> bool:
        """Whether a file, or a link, is there. Devices and pipes do not count: nothing in them is lost."""
        if isinstance(target, StorageFile):
            return target in self._in_storage and not self._in_storage[target].is_folder
        there = _status(target)
        return there is not None and (stat.S_ISREG(there.st_mode) or stat.S_ISLNK(there.st_mode))

    def is_newer(self, source: Location, target: Location) -> bool:
        """Whether `source` was changed after `target`, or one of them has no time."""
        first, second = self._modified(source), self._modified(target)
        return first is None or second is None or first > second

    def _modified(self, file: Location) -> int | None:
        if isinstance(file, StorageFile):
            return self._in_storage[file].modified if file in self._in_storage else None
        try:
            return os.stat(file).st_mtime_ns
        except OSError:  # a dead link: reading or writing says what is wrong with it
            return None

    def why_unwritable(self, target: Location) -> str | None:
        """As far as can be told without trying. It is better to fail now than after an hour's work."""
        if isinstance(target, StorageFile):
            return "it is a folder" if target in self._in_storage and not self.is_file(target) else None
        if os.path.isdir(target):
            return "it is a folder"
        if not os.access(target, os.W_OK) and os.path.exists(target):  # not a dead link
            return "it is write-protected"
        return self._why_unwritable_folder(target.parent)


def is_same_file(source: Location, target: Location) -> bool:
    """Whether writing `target` would change `source`. A file system may ignore case, and writing follows a link."""
    if isinstance(source, Path) and isinstance(target, Path):
        try:
            return target.samefile(source)
        except (OSError, ValueError):  # one of them does not exist
            return False
    return source == target


def _why_unwritable_folder(folder: Path) -> str | None:
    while not os.path.lexists(folder) and folder != folder.parent:
        folder = folder.parent
    if not os.path.isdir(folder):
        return f"{show(folder)} is not a folder"
    if not os.access(folder, os.W_OK | os.X_OK):
        return f"no permission to write in {show(folder)}"
    return None


def _status(path: Path) -> os.stat_result | None:
    """Of a link itself; None if nothing is there."""
    try:
        return os.lstat(path)
    except (OSError, ValueError):
        return None
