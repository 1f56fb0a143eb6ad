"""A glob of --include or --exclude, by pathspec: `**` and folders work as in a .gitignore."""

from __future__ import annotations

import os
import re
from typing import Any

from pathspec.patterns.gitignore.basic import GitIgnoreBasicPattern

from img2img.errors import UsageError
from img2img.text import nfc, show

_PIECES = re.compile(r"\[!?(?:\][^\]]*|[^\]]+)\]|.", re.DOTALL)  # [set], or one character
_SPECIAL_IN_SET = re.compile(r"([\\\[\]&~|^])")


class Glob(GitIgnoreBasicPattern):
    """One pattern. Unlike a line of a .gitignore it ignores case, and only `*`, `?` and `[...]` are special in names.

    Attributes:
        folders: the pattern ends in `/` or `/**`: it matches what is below folders, and no file by its own name.
    """

    __slots__ = ("folders",)

    def __init__(self, option: str, pattern: str) -> None:
        text = nfc(pattern.replace(os.sep, "/")).rstrip()
        parts = [part for part in text.split("/") if part not in ("", ".")]
        if not parts:
            raise UsageError(f"{option} {show(pattern) or repr('')}: say a pattern, such as '*.png' or 'cache/'")
        self.folders = text.endswith("/") or (len(parts) > 1 and parts[-1] == "**")
        # A pattern with a slash starts at the top folder, one without matches at any depth.
        start, end = "/" if "/" in text.rstrip("/") else "**/", "/" if text.endswith("/") else ""
        regex, _ = self.pattern_to_regex(start + "/".join(parts) + end)
        try:
            super().__init__(re.compile(regex or "", re.IGNORECASE | re.DOTALL), include=True)
        except re.error as error:
            raise UsageError(f"{option} {show(pattern)}: no pattern: {error.msg}") from error

    def excludes(self, path: str) -> bool:
        """Whether the path, or a folder above it, matches. The path of a folder ends in a slash."""
        return self.match_file(nfc(path)) is not None

    def includes(self, file: str) -> bool:
        """Whether the file itself matches or, for a pattern of folders, a folder above it."""
        if self.folders:
            return self.excludes(file)
        assert self.regex is not None
        # pathspec's "." stands for all paths.
        return self.regex.pattern == "." or self.regex.fullmatch(nfc(file)) is not None

    @staticmethod
    def _translate_segment_glob(pattern: str, *_: Any) -> str:
        """The regular expression of one name. In pathspec's own, a set matches slashes and `\\` and `^` are special."""
        return "".join(_translate(piece) for piece in _PIECES.findall(pattern))


def _translate(piece: str) -> str:
    if piece in ("*", "?"):
        return "[^/]*" if piece == "*" else "[^/]"
    held = piece[1:-1].removeprefix("!")
    if not held:
        return re.escape(piece)
    return "(?!/)[" + ("^" if piece[1] == "!" else "") + _SPECIAL_IN_SET.sub(r"\\\1", held) + "]"
