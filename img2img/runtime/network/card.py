"""The card: what a model file says about itself, as JSON in the ONNX metadata (contract 1 of the design).

A stdlib dataclass, because importing pydantic costs a quarter of the time that upscaling a small picture may take.
"""

import json
import re
from dataclasses import MISSING, dataclass, field, fields
from typing import Any, NamedTuple

from img2img.errors import ModelError
from img2img.runtime.network import schema
from img2img.version import __version__

METADATA_KEY = "img2img"
FORMAT = 1
TASKS = ("upscale", "translate", "inpaint")
REQUIRED = ("name", "task", "scale")  # and `format`
MAX_SELFTEST_SIDE = 1024

# Far above any real network. A hostile card must not be able to ask for a terabyte of canvas.
_MAX_SCALE = 64
_MAX_SIDE = 65536


@dataclass(frozen=True, kw_only=True)
class Card:
    """What a model is, what it needs, where it comes from. Constructing one checks every value.

    Raises:
        ModelError: a value has the wrong type or lies out of range; the message names the key.
    """

    format: int = FORMAT  # version of this layout
    name: str
    task: str  # one of TASKS
    method: str = ""  # the method that trained it, e.g. "esrgan"
    scale: int  # sides of the result / sides of the image
    multiple: int = 1  # H and W must be multiples of it; the caller pads by reflection and crops
    minimum: int = 1  # smallest H and W, in pixels
    context: int | None = None  # input pixels around a tile that its output depends on; None: on the whole picture
    side: int | None = None  # shorter side, in pixels, of the pictures that it learned from; None: of any size
    domains: tuple[str, ...] = ()  # names of the columns of the input `domain`
    exclusive: bool = False  # True: a picture is in exactly one of the domains
    precision: str = "fp32"  # of the weights; the face of a model is float32 always
    parameters: int = 0
    licence: str = ""
    trained_on: tuple[str, ...] = ()
    metrics: dict[str, dict[str, float | str]] = field(default_factory=dict)  # data set -> figures and their command
    created_with: str = ""
    sha256: str | None = None  # `model_file.digest` of the file; None: nobody has taken it
    selftest: dict[str, Any] | None = (
        None  # what `selftest.picture` becomes; None: it is not known, or differs each time
    )
    extra: dict[str, Any] = field(default_factory=dict)  # keys of a later version, kept as they came

    def __post_init__(self) -> None:
        for key, rule in _RULES.items():
            value = getattr(self, key)
            if isinstance(value, list):  # JSON, TOML and callers have lists; a frozen card keeps a tuple
                value = tuple(value)
                object.__setattr__(self, key, value)
            if not schema.fits(value, rule.schema):
                raise ModelError(f"card: {key!r} must be {rule.expected}, not {_shown(value)}")

    @classmethod
    def from_json(cls, text: str, *, where: str) -> "Card":
        """Read a card. `where` names the file in messages. Unknown keys are kept in `extra`.

        Raises:
            ModelError: not a JSON object, another `format`, a key missing, of a wrong type or out of range.
        """
        try:
            values = json.loads(text)
        except (ValueError, RecursionError) as error:
            raise ModelError(f"{where}: the model's card is not JSON: {error}") from error
        if not isinstance(values, dict):
            raise ModelError(f"{where}: the model's card is not a JSON object but {_shown(values)}")
        if (version := values.get("format")) != FORMAT or isinstance(version, bool):
            raise ModelError(f"{where}: {_other_format(version, values.get('created_with'))}")
        missing = [key for key in REQUIRED if key not in values]
        if missing:
            raise ModelError(f"{where}: the model's card lacks {', '.join(map(repr, missing))}")
        known = {key: value for key, value in values.items() if key in _KEYS}
        extra = {key: value for key, value in values.items() if key not in _KEYS}
        try:
            return cls(**known, extra=extra)
        except ModelError as error:
            raise ModelError(f"{where}: {error}") from error

    def to_json(self) -> str:
        """The card as one line of JSON; `from_json` reads an equal card back."""
        values = {key: getattr(self, key) for key in _KEYS}
        return json.dumps(values | self.extra, ensure_ascii=False, allow_nan=False)


def _shown(value: object) -> str:
    value = list(value) if isinstance(value, tuple) else value
    shown = "null" if value is None else repr(value)
    return shown if len(shown) <= 60 else f"{shown[:60]}…"


def _other_format(version: object, created_with: object) -> str:
    what = f"its card has format {_shown(version)}, this img2img {__version__} reads format {FORMAT}"
    if not isinstance(version, int) or version <= FORMAT:
        return what
    writer = re.match(r"img2img (\d[\w.+-]{0,30})", created_with) if isinstance(created_with, str) else None
    if writer is None:
        return f"{what}: a newer version reads it (pip install -U img2img)"
    return (
        f"{what}: it was written by img2img {writer[1]}, install that version or newer"
        f" (pip install -U 'img2img>={writer[1]}')"
    )


class _Rule(NamedTuple):
    """What a key may hold, in words and as JSON Schema, and what it means."""

    expected: str
    schema: dict[str, Any]
    description: str


def _integer(low: int, high: int | None = None) -> dict[str, Any]:
    return {"type": "integer", "minimum": low} | ({} if high is None else {"maximum": high})


_TEXT: dict[str, Any] = {"type": "string"}
_TEXTS: dict[str, Any] = {"type": "array", "items": _TEXT}
_SIDE = _integer(1, _MAX_SIDE)
_FIGURES: dict[str, Any] = {"type": "object", "additionalProperties": {"type": ["number", "string"]}}
_SELFTEST: dict[str, Any] = {
    "type": ["object", "null"],
    "properties": {
        "height": _integer(1, MAX_SELFTEST_SIDE) | {"description": "H of the picture."},
        "width": _integer(1, MAX_SELFTEST_SIDE) | {"description": "W of the picture."},
        "result": {
            "type": "string",
            "pattern": "^[0-9a-f]{192}$",
            "description": "Two bytes, as hexadecimal digits, for each row of blocks, block in it, and channel.",
        },
    },
    "required": ["height", "width", "result"],
}

_RULES: dict[str, _Rule] = {
    "format": _Rule(f"{FORMAT}", {"type": "integer", "const": FORMAT}, "Version of this layout."),
    "name": _Rule(
        "a text that is not empty",
        {"type": "string", "minLength": 1},
        "What the model is called. For bundled models the name of the file.",
    ),
    "task": _Rule(
        f"one of {', '.join(TASKS)}",
        {"type": "string", "enum": list(TASKS)},
        "What it is for: enlarging pictures, turning them into another domain, or filling holes in them.",
    ),
    "method": _Rule("a text", _TEXT, "The method that trained it, and how it was exported, e.g. 'esrgan'."),
    "scale": _Rule(
        f"an integer from 1 to {_MAX_SCALE}", _integer(1, _MAX_SCALE), "Sides of the result / sides of the image."
    ),
    "multiple": _Rule(
        f"an integer from 1 to {_MAX_SIDE}",
        _SIDE,
        "H and W of the image must be multiples of it: pad by reflection and crop the result.",
    ),
    "minimum": _Rule(f"an integer from 1 to {_MAX_SIDE}", _SIDE, "Smallest H and W of the image, in pixels."),
    "context": _Rule(
        f"an integer from 0 to {_MAX_SIDE}, or null",
        {"type": ["integer", "null"], "minimum": 0, "maximum": _MAX_SIDE},
        "Pixels of the image around a tile that its result depends on, measured. Null: on the whole picture.",
    ),
    "side": _Rule(
        f"an integer from 1 to {_MAX_SIDE}, or null",
        {"type": ["integer", "null"], "minimum": 1, "maximum": _MAX_SIDE},
        "Shorter side, in pixels, of the whole pictures that it learned from: at other sizes it sees less or more of a"
        " thing at once. Null: not known, or of any size.",
    ),
    "domains": _Rule(
        "a list of texts", _TEXTS, "Names of the columns of the input `domain`; empty where there is no such input."
    ),
    "exclusive": _Rule(
        "true or false", {"type": "boolean"}, "A picture is in exactly one of the domains, which are one-hot."
    ),
    "precision": _Rule("a text", _TEXT, "Of the weights: fp32, fp16 or int8. Inputs and result are float32 always."),
    "parameters": _Rule("an integer of at least 0", _integer(0), "Number of trained values."),
    "licence": _Rule("a text", _TEXT, "Licence of the weights, an SPDX identifier where there is one."),
    "trained_on": _Rule("a list of texts", _TEXTS, "The data sets that it was trained on."),
    "metrics": _Rule(
        "an object of objects of finite numbers and texts",
        {"type": "object", "additionalProperties": _FIGURES},
        "Data set, or what else was measured, to its figures; `command` is what measured them.",
    ),
    "created_with": _Rule("a text", _TEXT, "What wrote the file: 'img2img VERSION', then other programs."),
    "sha256": _Rule(
        "64 hexadecimal digits, or null",
        {"type": ["string", "null"], "pattern": "^[0-9a-f]{64}$"},
        "SHA-256 of all fields of the ONNX file's protobuf message (tag, length and content, as they follow each other"
        " in the file) but the metadata entry 'img2img', in which the card is; then of each file beside it that holds"
        " weights, by the order of names: name, 0 byte, size in decimal digits, 0 byte, content.",
    ),
    "selftest": _Rule(
        f"null, or an object of height and width from 1 to {MAX_SELFTEST_SIDE} and 192 hexadecimal digits as result",
        _SELFTEST,
        "What the model makes of a picture that is computed. In integers, div rounds down: t = ((2 + c)(256x div W) +"
        " (4 - c)(256y div H) + 85c) mod 512, u = min(t, 511 - t), e = 255 where x div 8 + y div 5 is odd, else 0,"
        " v = (5u + 2e + (3xx + 5yy + 7xy) mod 256) div 8. The image at row y, column x, channel c (red 0, green 1,"
        " blue 2) is v / 255. Input `mask` is 1 where H/4 <= y < 3H/4 and W/3 <= x < 2W/3, elsewhere 0; input `domain`"
        " 1 in its first column. The result is cut into 4x4 blocks, at multiples of a quarter of its sides, rounded"
        " down; of each block and channel the first byte is 255 times the mean, the second 255 times the mean absolute"
        " difference to the pixel on the left, inside the block, both rounded. Null: not known, or results differ each"
        " time.",
    ),
}
_KEYS = tuple(one.name for one in fields(Card) if one.name != "extra")


def json_schema() -> dict[str, Any]:
    """The JSON Schema (2020-12) of a card, made of the rules that `Card` checks by."""
    properties = {}
    for one in fields(Card):
        if one.name == "extra":
            continue
        rule = _RULES[one.name]
        default = one.default_factory() if one.default_factory is not MISSING else one.default
        default = list(default) if isinstance(default, tuple) else default
        shown = {} if default is MISSING or one.name == "format" else {"default": default}
        properties[one.name] = {"description": rule.description, **rule.schema, **shown}
    return {
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "title": "img2img model card",
        "description": "What a model file says about itself: JSON in the ONNX file's metadata_props['img2img'].",
        "type": "object",
        "properties": properties,
        "required": ["format", *REQUIRED],
        "additionalProperties": True,  # keys of a later version
    }
