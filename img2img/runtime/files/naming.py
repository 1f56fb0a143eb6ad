"""Names result files: next to the input, in a folder, or from a template."""

# os.path returns False where pathlib raises (no permission, for example), and its abspath keeps links.
# ruff: noqa: PTH100, PTH110, PTH112

from __future__ import annotations

import os
import re
import string
from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import cache
from pathlib import Path, PurePath

from img2img.errors import PictureError, UsageError
from img2img.runtime.files import storage
from img2img.runtime.files.source import Source
from img2img.runtime.files.storage_uri import Location, StorageFile, location, relative_to
from img2img.text import show

TEMPLATE_FIELDS = ("stem", "name", "dir", "sub", "model", "domain", "scale", "ext")

_UNFIT = re.compile(r"[^\w.-]")  # all but letters, digits, and -_.
_LONGEST_NAME = 100  # characters; file systems allow 255 bytes for the whole name
_SEPARATORS = (os.sep, os.altsep or os.sep)


@dataclass(frozen=True, slots=True)
class Naming:
    """How results are named.

    Attributes:
        suffix: follows the stem of a result next to its input (PHOTO_x4.png), or the name of an input folder
            (FOLDER_x4).
        output: the value of -o: None (next to the input), a file, a folder (existing, or ending in a slash, or without
            an extension), a template such as `{dir}/{stem}_{model}.{ext}`, or `-` for stdout. In a template, `{dir}` is
            the folder of the input. `{sub}` is its path relative to the input folder that the user gave, or `.` if
            there is none, so `/results/{sub}/{stem}.{ext}` keeps the tree.
        ending: follows the stem of a result in the folder that -o names, which otherwise keeps its input's name.
        format: an extension such as `jpg`. None keeps the input's extension if it can be written, and otherwise uses
            png.
    """

    suffix: str
    output: str | None = None
    format: str | None = None
    model: str = ""
    scale: str = ""
    domain: str = ""
    ending: str = ""


def with_suffix(namings: Sequence[Naming], suffix: str, *, from_stdin: bool = False) -> list[Naming]:
    """Let the names of results end with `suffix`, the value of --suffix. Several results keep theirs before it.

    Raises:
        UsageError: `suffix` cannot be a part of a file name, or -o names a file, a template or stdout, as it does by
            default for a picture from stdin.
    """
    if any(separator in suffix for separator in (*_SEPARATORS, "\\", "\0")):
        raise UsageError(f"--suffix {show(suffix)}: it becomes a part of a file name, so it cannot contain a slash")
    if "{" in suffix:
        raise UsageError(f"--suffix {show(suffix)}: it is plain text; fields such as {{scale}} go into -o")
    if len(suffix) > _LONGEST_NAME:
        raise UsageError(f"--suffix: at most {_LONGEST_NAME} characters, not {len(suffix)}")
    for one in namings:
        if one.output is None and not from_stdin:
            continue
        if one.output is None or output_folder(one.output) is None:
            given = "" if one.output is None else f" (here: -o {show(one.output)})"
            raise UsageError(
                f"--suffix names results next to their inputs or in a folder, not files, templates or stdout{given}"
            )
    several = len(namings) > 1
    return [replace(one, suffix=one.suffix * several + suffix, ending=suffix) for one in namings]


def safe_name(text: str) -> str:
    """Make `text` from a model card a part of a file name: letters, digits, and -_. are kept, all else becomes `_`."""
    plain = _UNFIT.sub("_", text[:_LONGEST_NAME])
    return plain if plain.strip(".") else "_"


def output_folder(output: str | None) -> Location | None:
    """Return the folder that -o names. None if -o names a file, a template or stdout, or is not given."""
    if output is None or output == "-" or is_template(output):
        return None
    path = location(output)
    named_as_folder = output.endswith(_SEPARATORS) or not path.suffix
    if isinstance(path, StorageFile):
        return path if named_as_folder or ((info := storage.look([path])[0]) and info.is_folder) else None
    if os.path.exists(path):
        return path if os.path.isdir(path) else None
    return path if named_as_folder else None


class OutputPaths:
    """Computes the output paths for one naming. Caches what all files of a folder share.

    `folder` is the folder that -o names, or None. Raises UsageError if -o or the format is invalid.
    """

    def __init__(self, naming: Naming) -> None:
        self.naming = naming
        self.folder = output_folder(naming.output)
        self._inside: dict[tuple[str, Location], PurePath] = {}
        self._folders: dict[tuple[Location, PurePath], Location] = {}

    def of(self, source: Source) -> Location | None:
        """Return the output path for `source`, or None for stdout. Raises UsageError for an unknown template field."""
        naming, output, path = self.naming, self.naming.output, source.path or Path("stdin")
        extension = _extension(path.suffix if source.path is not None else "", naming.format)
        if output == "-" or (output is None and source.path is None):
            return None
        if output is None and source.root is None:
            return path.with_name(path.stem + naming.suffix + extension)
        name = path.stem + (naming.ending if self.folder is not None else "") + extension
        if output is not None and is_template(output):
            filled = _fill(output, self._fields(source, path, extension))
            return Path(filled, name) if filled.endswith(_SEPARATORS) else Path(filled)
        if output is not None and self.folder is None:
            return location(output)
        return self._below(source, path) / name

    def format_of(self, target: Location | None) -> str | None:
        """Return Pillow's name of the output format for `target`. None, only for stdout, keeps the source's format.

        Raises UsageError if the format cannot be written or contradicts the extension.
        """
        naming = self.naming
        wanted = _format_of(f"x.{naming.format}") if naming.format is not None else None
        if target is None:
            return wanted
        if wanted is None:
            return _format_of(str(target))
        named = _known_format(target.suffix)
        if named is not None and named != wanted:
            raise UsageError(f"--format {naming.format} contradicts the extension of -o {show(target)}")
        return wanted

    def _below(self, source: Source, path: Location) -> Location:
        """Return the folder for a result that keeps its input's name."""
        if source.root is None:
            assert self.folder is not None
            return self.folder
        inside = self._inside_root(path, source.root)
        known = self._folders.get((source.root, inside))
        if known is None:
            top = self.folder if self.folder is not None else _sibling(source.root, self.naming.suffix)
            known = self._folders[source.root, inside] = top / inside
        return known

    def _inside_root(self, path: Location, root: Location) -> PurePath:
        key = str(path.parent), root
        known = self._inside.get(key)
        if known is None:
            known = self._inside[key] = relative_to(path, root).parent
        return known

    def _fields(self, source: Source, path: Location, extension: str) -> dict[str, str]:
        return {
            "stem": path.stem,
            "name": path.name,
            "dir": str(path.parent),
            "sub": "." if source.root is None else str(self._inside_root(path, source.root)),
            "model": safe_name(self.naming.model),
            "domain": self.naming.domain,
            "scale": self.naming.scale,
            "ext": extension.removeprefix("."),
        }


def _sibling(folder: Location, suffix: str) -> Location:
    if isinstance(folder, Path) and folder.name in ("", ".."):
        folder = Path(os.path.abspath(folder))
    if not folder.name:
        what = show(folder) if isinstance(folder, Path) else "a whole bucket"
        raise UsageError(f"{what} has no folder beside it for the results: name one with -o")
    return folder.with_name(folder.name + suffix)


def _extension(own: str, wanted: str | None) -> str:
    """Return the extension to write. Keeps the source's spelling if its format is the one to write."""
    own_format = _known_format(own)
    if wanted is None:
        return own if own_format is not None else ".png"
    return own if own_format == _format_of(f"x.{wanted}") else f".{wanted}"


@cache
def _known_format(suffix: str) -> str | None:
    from img2img.runtime.image.writing import format_for  # imports numpy and Pillow, which --help must not load

    try:
        return format_for(f"x{suffix}")
    except PictureError:
        return None


def _format_of(name: str) -> str:
    from img2img.runtime.image.writing import format_for

    try:
        return format_for(name)
    except PictureError as error:
        raise UsageError(str(error)) from error


def is_template(output: str) -> bool:
    return "{" in output


def _fill(template: str, fields: dict[str, str]) -> str:
    return "".join(literal + ("" if field is None else fields[field]) for literal, field in _parsed(template))


@cache
def _parsed(template: str) -> list[tuple[str, str | None]]:
    """Parse a template. Braces may hold only plain names: no attributes, indices or format specifications."""
    try:
        pieces = list(string.Formatter().parse(template))
    except ValueError as error:
        raise UsageError(f"-o {show(template)}: it has a brace without its partner; write {{{{ for a brace") from error
    for _, field, specification, conversion in pieces:
        if field in TEMPLATE_FIELDS and (specification or conversion):
            raise UsageError(f"-o {show(template)}: a field is only a name: {{{field}}}, without ! and :")
        if field is not None and field not in TEMPLATE_FIELDS:
            known = " ".join(f"{{{name}}}" for name in TEMPLATE_FIELDS)
            raise UsageError(f"-o {show(template)}: unknown field {{{show(field)}}}; there are {known}")
    return [(literal, field) for literal, field, _, _ in pieces]
