"""Which of the pictures that were found are meant: --include and --exclude, and one machine's share of them."""

from __future__ import annotations

import os
import re
import unicodedata
from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING

from img2img.errors import UsageError
from img2img.text import show

if TYPE_CHECKING:
    pass

_PIECES = re.compile(r"\[!?(?:\][^\]]*|[^\]]+)\]|.", re.DOTALL)  # [set], or one character
_SPECIAL_IN_SET = re.compile(r"([\\\[\]&~|^])")


class Filters:
    """What --include and --exclude let through of what a folder or a glob holds; `exclude` wins.

    A pattern is a glob without regard to case: `*` and `?` stop at a slash, `**` between slashes stands for any number
    of folders. One without a slash is compared with the name alone, at any depth; one with a slash with the path below
    the folder that was named (below the part of a glob before its first wildcard). One that ends in `/` or `/**` names
    folders, and means all that is below them; an `exclude` means folders without that as well, as .gitignore does.

    Paths are given as strings: relative, with forward slashes, the folder itself as an empty one.

    Raises UsageError where a pattern is empty or no glob.
    """

    def __init__(self, include: Sequence[str] = (), exclude: Sequence[str] = ()) -> None:
        self.active = bool(include or exclude)
        inside, outside = [_parse("--include", one) for one in include], [_parse("--exclude", one) for one in exclude]
        self._all = not include
        self._files = _any(text for text, folders in inside if not folders)
        self._folders = _any(text for text, folders in inside if folders)
        self._not_files = _any(text for text, folders in outside if not folders)
        self._not_folders = _any(text for text, _ in outside)

    def enter(self, folder: str, covered: bool = False) -> bool | None:
        """Whether everything in `folder` is included by the name of it or (`covered`) of one above; None: excluded."""
        plain = _plain(folder)
        if self._not_folders.fullmatch(plain):
            return None
        return covered or self._folders.fullmatch(plain) is not None

    def enter_down_to(self, folder: str) -> bool | None:
        """As `enter`, with all the folders above it looked at first."""
        covered = False
        parts = [part for part in folder.split("/") if part]
        for depth in range(len(parts)):
            entered = self.enter("/".join(parts[: depth + 1]), covered)
            if entered is None:
                return None
            covered = entered
        return covered

    def take(self, file: str, covered: bool) -> bool:
        """Whether the picture `file` is let through; `covered` is what `enter` said of its folder."""
        plain = _plain(file)
        included = self._all or covered or self._files.fullmatch(plain) is not None
        return included and not self._not_files.fullmatch(plain)


def _parse(option: str, pattern: str) -> tuple[str, bool]:
    """A regular expression for a whole relative path, and whether it is one of folders only."""
    text = _plain(pattern.replace(os.sep, "/"))
    parts = [part for part in text.split("/") if part not in ("", ".")]
    parts = [part for part, before in zip(parts, [None, *parts], strict=False) if part != "**" or before != "**"]
    if not parts:
        raise UsageError(f"{option} {show(pattern) or repr('')}: say a pattern, such as '*.png' or 'cache/'")
    folders = text.endswith("/") or (len(parts) > 1 and parts[-1] == "**")
    *above, last = parts[:-1] if len(parts) > 1 and parts[-1] == "**" else parts
    regex = "" if "/" in text.rstrip("/") else "(?:.*/)?"
    regex += "".join("(?:[^/]+/)*" if part == "**" else _translate(part) + "/" for part in above)
    regex += ".+" if last == "**" else _translate(last)
    try:
        re.compile(regex)
    except re.error as error:
        raise UsageError(f"{option} {show(pattern)}: no pattern: {error.msg}") from error
    return regex, folders


def _translate(part: str) -> str:
    regex = ""
    for piece in _PIECES.findall(part):
        held = piece[1:-1].removeprefix("!")
        if piece == "*":
            regex += "[^/]*"
        elif piece == "?":
            regex += "[^/]"
        elif held:
            negated = "^" if piece[1] == "!" else ""
            regex += "(?!/)[" + negated + _SPECIAL_IN_SET.sub(r"\\\1", held) + "]"
        else:
            regex += re.escape(piece)
    return regex


def _any(patterns: Iterable[str]) -> re.Pattern[str]:
    return re.compile("|".join(f"(?:{one})" for one in patterns) or "(?!)", re.IGNORECASE | re.DOTALL)


def _plain(text: str) -> str:
    return text if text.isascii() else unicodedata.normalize("NFC", text)
