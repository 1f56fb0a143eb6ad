"""What the server does, and the form fields of each operation. They have the names of the command-line options.

The API, its description (`openapi`) and the page come from these tables.
"""

from __future__ import annotations

import dataclasses
import difflib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

from img2img.errors import UsageError
from img2img.runtime.tasks.settings import FileFormat, Settings
from img2img.text import show

Kind = Literal["text", "number", "integer", "flag", "file"]


@dataclass(frozen=True, slots=True)
class Field:
    """A form field.

    Attributes:
        name: the name of the command-line option, without the dashes in front.
        keywords: texts that a file field accepts instead of a file.
    """

    name: str
    kind: Kind
    help: str
    repeatable: bool = False
    low: float | None = None
    high: float | None = None
    choices: tuple[str, ...] = ()
    keywords: tuple[str, ...] = ()

    @property
    def key(self) -> str:
        """The name as a Python identifier."""
        return self.name.replace("-", "_")


@dataclass(frozen=True, slots=True)
class Operation:
    """A path of the API, and the command of the same name.

    Attributes:
        label: what the page calls it.
    """

    name: str
    label: str
    summary: str
    fields: tuple[Field, ...]

    def field(self, name: str) -> Field:
        """The field of this name, also with underscores for dashes. Raises UsageError if there is none."""
        wanted = name.replace("_", "-")
        for one in self.fields:
            if one.name == wanted:
                return one
        names = [one.name for one in self.fields]
        close = difflib.get_close_matches(wanted, names, n=1)
        guess = f"did you mean {close[0]!r}?" if close else f"fields: {', '.join(names)}"
        raise UsageError(f"{self.name} has no field {show(name)!r}; {guess}")


def parse(operation: Operation, texts: Mapping[str, Sequence[str]]) -> dict[str, Any]:
    """The values of fields that are not files: `Field.key` -> value, a tuple for repeatable fields.

    Empty texts count as missing, so that forms in browsers may send all their fields.

    Raises:
        UsageError: a field is unknown or occurs too often, or a text is no valid value.
    """
    found: dict[str, Any] = {}
    for name, given in texts.items():
        field = operation.field(name)
        values = [_value(field, text) for text in given if text != ""]
        if not values:
            continue
        if field.repeatable:
            found[field.key] = (*found.get(field.key, ()), *values)
        elif len(values) > 1 or field.key in found:
            raise UsageError(f"--{field.name} is given {len(values)} times; give it once")
        else:
            found[field.key] = values[0]
    return found


def _value(field: Field, text: str) -> Any:
    option = f"--{field.name}"
    if field.kind == "file":
        if text in field.keywords:
            return text
        others = f", or say {' or '.join(field.keywords)}" if field.keywords else ""
        raise UsageError(f"{option}: upload the file (-F {field.name}=@FILE){others}; the server reads no paths")
    if field.kind == "flag":
        known = {
            "true": True,
            "1": True,
            "on": True,
            "yes": True,
            "false": False,
            "0": False,
            "off": False,
            "no": False,
        }
        if text.lower() not in known:
            raise UsageError(f"{option}: {show(text)!r} is neither true nor false")
        return known[text.lower()]
    if field.choices and text not in field.choices:
        raise UsageError(f"{option}: {show(text)!r} is not one of {', '.join(field.choices)}")
    if field.kind == "text":
        return text
    return _number(field, text)


def _number(field: Field, text: str) -> float:
    kind = int if field.kind == "integer" else float
    try:
        number = kind(text[:30])
    except ValueError as error:
        what = "a whole number" if kind is int else "a number"
        raise UsageError(f"--{field.name}: {show(text[:30])!r} is not {what}") from error
    low, high = field.low, field.high
    if not ((low is None or number >= low) and (high is None or number <= high)):  # NaN is in no range
        limits = (
            f"at least {low:g}" if high is None else f"at most {high:g}" if low is None else f"in {low:g}..{high:g}"
        )
        raise UsageError(f"--{field.name}: {text[:30]} is not {limits}")
    return number


def _shared(name: str, kind: Kind) -> Field:
    """A field that is declared by `Settings`."""
    (one,) = (one for one in dataclasses.fields(Settings) if one.name == name)
    about = one.metadata
    return Field(name.replace("_", "-"), kind, about["help"], low=about.get("min"), high=about.get("max"))


MODEL = Field("model", "text", "Name of a model that GET /models lists. Default: the usual model of the operation.")
STRENGTH = _shared("strength", "number")
_FORMATS = tuple(FileFormat)
_WRITTEN = (
    Field("format", "text", "Output format. Default: as the image, or png.", choices=_FORMATS),
    _shared("quality", "integer"),
    _shared("strip", "flag"),
    _shared("first_frame", "flag"),
)
_COLOURS = _shared("color_fix", "flag")
_SEAMS = _shared("check_seams", "flag")
_SIZE = "Size at which the network sees the picture: fit, keep, or a side in pixels."
_WRAPS = ("x", "y", "xy")
_IMAGE = Field("image", "file", "The picture: PNG, JPEG, WebP, TIFF, BMP, AVIF or GIF. The name file works too.")
_TO = "Domain of the model; GET /models lists them."

OPERATIONS: dict[str, Operation] = {
    one.name: one
    for one in (
        Operation(
            "upscale",
            "Enlarge",
            "Enlarge a photo.",
            (
                _IMAGE,
                MODEL,
                Field(
                    "scale",
                    "number",
                    "Enlargement factor. Picks the closest model; Lanczos covers the difference. Default: the model's "
                    "own.",
                ),
                Field("width", "integer", "Width of the result, instead of scale.", low=1),
                Field("height", "integer", "Height of the result.", low=1),
                Field("long-side", "integer", "Longer side of the result.", low=1),
                Field("megapixels", "number", "Million pixels of the result."),
                Field("fit", "text", "Largest result that fits this box, such as 3840x2160."),
                Field(
                    "tta", "flag", "Average the results of eight orientations. A little better, eight times as long."
                ),
                Field("wrap", "text", "Seamless textures: repeat the result in these directions.", choices=_WRAPS),
                Field("budget", "text", "Use the best bundled model that finishes in this time (60s, 5min)."),
                STRENGTH,
                _COLOURS,
                _SEAMS,
                *_WRITTEN,
            ),
        ),
        Operation(
            "restore",
            "Restore",
            "Remove JPEG artefacts and noise from a photo.",
            (_IMAGE, MODEL, STRENGTH, _COLOURS, _SEAMS, *_WRITTEN),
        ),
        Operation(
            "translate",
            "Translate",
            "Translate a picture into another domain. Several results come as a ZIP file.",
            (
                _IMAGE,
                MODEL,
                Field("to", "text", f"{_TO} Repeatable if domains can be combined. all: one result per domain.", True),
                Field("reference", "file", "A second picture for models that take one, for example a style."),
                Field("samples", "integer", "Number of different results, for models with a latent code.", low=1),
                Field("seed", "integer", "Random seed of the samples.", low=0),
                Field("truncation", "number", "Draw values of the code again that are larger than this."),
                Field("grid", "flag", "One contact sheet of all domains, or of the samples."),
                Field("direction", "text", "Which model of a run with several to use (AtoB, BtoA)."),
                Field("size", "text", f"{_SIZE} Default: fit."),
                Field("background", "text", "Put transparent pictures on a colour, such as white or #RRGGBB."),
                STRENGTH,
                _COLOURS,
                _SEAMS,
                *_WRITTEN,
            ),
        ),
        Operation(
            "inpaint",
            "Fill holes",
            "Fill holes in a photo. Pixels outside the holes stay the same, bit for bit.",
            (
                _IMAGE,
                Field(
                    "mask",
                    "file",
                    "A picture of the photo's size that is white where to fill, or alpha: fill the transparent parts.",
                    keywords=("alpha",),
                ),
                MODEL,
                Field("mask-color", "text", "Fill the parts of the photo that have this colour (#RRGGBB)."),
                Field("tolerance", "integer", "Largest distance from mask-color, in steps of 1/255.", low=0, high=255),
                Field("box", "text", "Fill this box: X,Y,W,H in pixels. Repeatable.", True),
                Field("dilate", "integer", "Grow the holes by so many pixels.", low=0, high=1000),
                Field("feather", "integer", "Width of the blended rim inside a hole, in pixels.", low=0, high=1000),
                Field("to", "text", f"{_TO} For models with domains."),
                Field("size", "text", f"{_SIZE} Default: chosen by the model."),
                STRENGTH,
                *_WRITTEN,
            ),
        ),
    )
}
