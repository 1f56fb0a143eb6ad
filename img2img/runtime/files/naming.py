"""What results are called and where they go: beside the input, in a folder, or as a template says."""

# os.path answers False where pathlib raises (no permission, say), and its abspath leaves links alone.
# ruff: noqa: PTH100, PTH110, PTH112

from __future__ import annotations

import os
import re
import string
from dataclasses import dataclass
from functools import cache
from pathlib import Path

from img2img.errors import PictureError, UsageError
from img2img.runtime.files.source import Source
from img2img.text import show

TEMPLATE_FIELDS = ("stem", "name", "dir", "sub", "model", "domain", "scale", "ext")

_UNFIT = re.compile(r'[\x00-\x1f<>:"/\\|?*{}]')  # in a file name, here or on Windows, or in a template
_SEPARATORS = (os.sep, os.altsep or os.sep)


@dataclass(frozen=True, slots=True)
class Naming:
    """How results are called.

    `output` is what -o said: None (beside the input with `suffix` before the extension; what a folder holds goes to
    `FOLDER{suffix}` under its own name), a file, a folder (existing, or ending in a slash, or without an extension), a
    template such as `{dir}/{stem}_{model}.{ext}`, or `-` for stdout. In a template `{dir}` is the input's folder and
    `{sub}` the part of it below the folder that was named, which keeps a tree (`/results/{sub}/{stem}.{ext}`); `.`
    where there is none. `format` is an extension such as `jpg`; None keeps the input's where it can be written and
    takes png where not.
    """

    suffix: str
    output: str | None = None
    format: str | None = None
    model: str = ""
    scale: str = ""
    domain: str = ""


def safe_name(text: str) -> str:
    """`text` from a model's card as a part of a file name: without separators, braces, and names such as `..`."""
    plain = _UNFIT.sub("_", text)
    return plain if plain.strip(". ") else "_"


def output_folder(output: str | None) -> Path | None:
    """The folder that -o names, or None where it names a file, a template, stdout or nothing."""
    if output is None or output == "-" or is_template(output):
        return None
    path = Path(output)
    if os.path.exists(path) and not os.path.isdir(path):
        return None
    return path if os.path.isdir(path) or output.endswith(_SEPARATORS) or not path.suffix else None


class OutputPaths:
    """Where the results of one naming go. What holds for a whole folder is worked out once.

    `folder` is the one that -o names, or None. Raises UsageError where -o or the format cannot be meant.
    """

    def __init__(self, naming: Naming) -> None:
        self.naming = naming
        self.folder = output_folder(naming.output)
        self._inside: dict[tuple[str, Path], Path] = {}
        self._folders: dict[tuple[Path, Path], Path] = {}

    def of(self, source: Source) -> Path | None:
        """The file for the result of `source`, or None for stdout. Raises UsageError for an unknown template field."""
        naming, output, path = self.naming, self.naming.output, source.path or Path("stdin")
        extension = _extension(path.suffix if source.path is not None else "", naming.format)
        if output == "-" or (output is None and source.path is None):
            return None
        if output is None and source.root is None:
            return path.with_name(path.stem + naming.suffix + extension)
        name = path.stem + extension
        if output is not None and is_template(output):
            filled = _fill(output, self._fields(source, path, extension))
            return Path(filled, name) if filled.endswith(_SEPARATORS) else Path(filled)
        if output is not None and self.folder is None:
            return Path(output)
        return self._below(source, path) / name

    def format_of(self, target: Path | None) -> str | None:
        """Pillow's name of the format to write there; None keeps the source's, on stdout.

        Raises UsageError where it cannot be written, or contradicts the extension.
        """
        naming = self.naming
        wanted = _format_of(Path(f"x.{naming.format}")) if naming.format is not None else None
        if target is None:
            return wanted
        if wanted is None:
            return _format_of(target)
        named = _known_format(target.suffix)
        if named is not None and named != wanted:
            raise UsageError(f"--format {naming.format} contradicts the extension of -o {show(target)}")
        return wanted

    def _below(self, source: Source, path: Path) -> Path:
        """The folder for a result that has its input's name."""
        if source.root is None:
            assert self.folder is not None
            return self.folder
        inside = self._inside_root(path, source.root)
        known = self._folders.get((source.root, inside))
        if known is None:
            top = self.folder if self.folder is not None else _sibling(source.root, self.naming.suffix)
            known = self._folders[source.root, inside] = top / inside
        return known

    def _inside_root(self, path: Path, root: Path) -> Path:
        key = str(path.parent), root
        known = self._inside.get(key)
        if known is None:
            known = self._inside[key] = path.relative_to(root).parent
        return known

    def _fields(self, source: Source, path: Path, extension: str) -> dict[str, str]:
        return {
            "stem": path.stem,
            "name": path.name,
            "dir": str(path.parent),
            "sub": "." if source.root is None else str(self._inside_root(path, source.root)),
            "model": self.naming.model,
            "domain": self.naming.domain,
            "scale": self.naming.scale,
            "ext": extension.removeprefix("."),
        }


def _sibling(folder: Path, suffix: str) -> Path:
    named = folder if folder.name not in ("", "..") else Path(os.path.abspath(folder))
    if not named.name:
        raise UsageError(f"{show(folder)} has no folder beside it for the results: say where with -o")
    return named.with_name(named.name + suffix)


def _extension(own: str, wanted: str | None) -> str:
    """The source's own extension (its spelling kept) where it is, or can be, what is to be written."""
    own_format = _known_format(own)
    if wanted is None:
        return own if own_format is not None else ".png"
    return own if own_format == _format_of(Path(f"x.{wanted}")) else f".{wanted}"


@cache
def _known_format(suffix: str) -> str | None:
    from img2img.runtime.image.writing import (
        format_for,  # numpy and Pillow: the command line reads this module for --help
    )

    try:
        return format_for(Path(f"x{suffix}"))
    except PictureError:
        return None


def _format_of(path: Path) -> str:
    known = _known_format(path.suffix)
    if known is not None:
        return known
    from img2img.runtime.image.writing import format_for

    try:
        return format_for(path)
    except PictureError as error:
        raise UsageError(str(error)) from error


def is_template(output: str) -> bool:
    return "{" in output


def _fill(template: str, fields: dict[str, str]) -> str:
    return "".join(literal + ("" if field is None else fields[field]) for literal, field in _parsed(template))


@cache
def _parsed(template: str) -> list[tuple[str, str | None]]:
    """Plain names between braces only: no attributes, indices or format specifications."""
    try:
        pieces = list(string.Formatter().parse(template))
    except ValueError as error:
        raise UsageError(f"-o {show(template)}: {error}") from error
    for _, field, specification, conversion in pieces:
        if field is not None and (field not in TEMPLATE_FIELDS or specification or conversion):
            known = " ".join(f"{{{name}}}" for name in TEMPLATE_FIELDS)
            raise UsageError(f"-o {show(template)}: unknown field {{{show(field)}}}; there are {known}")
    return [(literal, field) for literal, field, _, _ in pieces]
