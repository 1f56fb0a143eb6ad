"""--include and --exclude: which files of a folder or of a glob are processed."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from img2img.runtime.files.globs import Glob


class Filters:
    """What --include and --exclude let through; `exclude` wins.

    Patterns are globs that ignore case: `*` and `?` do not match a slash, `**` between slashes matches any number of
    folders. A pattern without a slash is compared with names at any depth. A pattern with a slash is compared with the
    path below the folder that the user named (for a glob: below the part before its first wildcard). A pattern that
    ends in `/` or `/**` matches folders, with all that is below them; an `exclude` pattern does so without the slash
    too, as in a .gitignore.

    Paths are strings: relative, with forward slashes.

    Raises UsageError if a pattern is empty or no glob.
    """

    def __init__(self, include: Sequence[str] = (), exclude: Sequence[str] = ()) -> None:
        self.active = bool(include or exclude)
        self._include: list[Glob] = []
        self._exclude: list[Glob] = []
        if self.active:  # importing pathspec takes time
            from img2img.runtime.files.globs import Glob

            self._include = [Glob("--include", pattern) for pattern in include]
            self._exclude = [Glob("--exclude", pattern) for pattern in exclude]

    def enter(self, folder: str) -> bool:
        """Whether to look into a folder, if the folders above it are entered."""
        return not any(glob.excludes(f"{folder}/") for glob in self._exclude)

    def enter_down_to(self, folder: str) -> bool:
        """Whether to look into a folder and into all folders above it."""
        parts = [part for part in folder.split("/") if part]
        return all(self.enter("/".join(parts[: depth + 1])) for depth in range(len(parts)))

    def take(self, file: str) -> bool:
        """Whether to process a file, if its folder is entered."""
        included = not self._include or any(glob.includes(file) for glob in self._include)
        return included and not any(glob.excludes(file) for glob in self._exclude)
