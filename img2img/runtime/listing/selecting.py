"""Which of the pictures that were found are meant: --include and --exclude, and one machine's share of them."""

from __future__ import annotations

import hashlib
import os
import re
import unicodedata
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from img2img.errors import UsageError
from img2img.runtime.listing.naming import show

if TYPE_CHECKING:
    from img2img.runtime.listing.files import Source

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


def parse_shard(text: str) -> tuple[int, int]:
    """`3/16` -> (3, 16): the third of sixteen. Raises UsageError for all else."""
    match = re.fullmatch(r"([0-9]{1,9})/([0-9]{1,9})", text.strip())
    part, of = (int(match[1]), int(match[2])) if match else (0, 0)
    if not 1 <= part <= of:
        raise UsageError(f"--shard {show(text)}: say which part of how many, from 1/4 to 4/4")
    return part, of


def shard(sources: Sequence[Source], part: int, of: int) -> list[Source]:
    """The sources, in their order, that are the share of machine `part` (from 1) of `of`.

    Each source belongs to exactly one part. Which one follows from a hash of its name alone, so that a list that has
    grown, shrunk or another order gives no file to another part; the parts are as even as chance makes them. The name
    is the path below the folder that was named (below what all such folders share), or the relative path that was
    given, so it does not matter where a machine has mounted the files. Of absolute paths of single files it is what
    lies below the folder that they all share: only files outside that folder, added later, deal such a list anew.
    """
    return [source for source, owner in zip(sources, owners(sources, of), strict=True) if owner == part]


def owners(sources: Sequence[Source], of: int) -> list[int]:
    """For each source the part, 1 to `of`, that `shard` gives it to."""
    roots = {source.root for source in sources if source.root is not None}
    shared_root = _shared(_absolute(root) for root in roots)
    below = {root: _below(_absolute(root), shared_root) for root in roots}
    single = {str(source.path.parent) for source in sources if _is_single(source) and source.path is not None}
    shared_parent = _shared(single)

    def name(source: Source) -> str:
        if source.path is None:
            return "-"
        if source.root is not None:
            return (below[source.root] / source.path.relative_to(source.root)).as_posix()
        return (_below(str(source.path), shared_parent) if source.path.is_absolute() else source.path).as_posix()

    return [_hash(name(source)) % of + 1 for source in sources]


def _is_single(source: Source) -> bool:
    return source.root is None and source.path is not None and source.path.is_absolute()


def _absolute(path: Path) -> str:
    return os.path.abspath(path)  # noqa: PTH100 (links stay as they are)


def _shared(folders: Iterable[str]) -> str:
    try:
        return os.path.commonpath(list(folders))
    except ValueError:  # none, or several drives
        return ""


def _below(path: str, folder: str) -> Path:
    return Path(path).relative_to(folder) if folder else Path(path)


def _hash(name: str) -> int:
    """The same on every machine: one spelling of accents, whatever the file system keeps."""
    raw = unicodedata.normalize("NFC", name).encode(errors="surrogatepass")
    return int.from_bytes(hashlib.blake2b(raw, digest_size=8).digest(), "big")


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
