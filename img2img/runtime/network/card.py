"""The card of a model: JSON in the metadata of the ONNX file that describes the model. See docs/model-file.md.

It is a stdlib dataclass, because importing pydantic takes a quarter of the time that upscaling a small picture may
take.
"""

import json
import math
import re
from dataclasses import MISSING, dataclass, field, fields
from typing import Any, NamedTuple

from img2img.errors import ModelError
from img2img.version import __version__

METADATA_KEY = "img2img"
FORMAT = 1
TASKS = ("upscale", "translate", "inpaint")
REQUIRED = ("name", "task", "scale")  # and `format`
MAX_SELFTEST_SIDE = 1024

# Far above any real network. They stop a hostile card from requesting terabytes of memory for a result.
_MAX_SCALE = 64
_MAX_SIDE = 65536
_MAX_NUMBER = 1e30  # integers in Python have no limit, and larger ones become no float
_MAX_PARAMETERS = 10**15
_MAX_LATENT = 65536


@dataclass(frozen=True, kw_only=True)
class Card:
    """The properties of a model: its task, its input sizes and its origin. The constructor checks every value.

    Raises:
        ModelError: a value has the wrong type or is out of range; the message names the key.
    """

    format: int = FORMAT  # version of the card format
    name: str
    task: str  # one of TASKS
    method: str = ""  # the method that trained the model, for example "esrgan"
    scale: int  # side of the result / side of the image
    multiple: int = 1  # H and W must be multiples of it; the caller pads by reflection and crops the result
    minimum: int = 1  # smallest H and W, in pixels
    context: int | None = None  # input pixels around a tile that affect its result; None: the whole picture does
    side: int | None = None  # shorter side of the training pictures, in pixels; None: any size, or unknown
    resizes: bool = False  # True: the network reduces pictures to its own size itself
    input_quality: str | None = None  # "clean" or "degraded": the photos that it is for; None: unknown
    domains: tuple[str, ...] = ()  # names of the columns of the input `domain`
    exclusive: bool = False  # True: a picture belongs to exactly one domain
    reference: dict[str, Any] | None = None  # the input `reference`: about, multiple, minimum; None: no such input
    latent: dict[str, Any] | None = None  # the input `latent`: length, distribution; None: no such input
    precision: str = "fp32"  # of the computation; inputs and outputs are always float32
    parameters: int = 0
    licence: str = ""
    trained_on: tuple[str, ...] = ()
    metrics: dict[str, dict[str, float | str]] = field(default_factory=dict)  # data set -> figures and their command
    created_with: str = ""
    sha256: str | None = None  # `card_writing.digest` of the file; None: unknown
    selftest: dict[str, Any] | None = None  # made by `selftest.create`; None: unknown, or results vary between runs
    extra: dict[str, Any] = field(default_factory=dict)  # keys of a later version, unchanged

    def __post_init__(self) -> None:
        for key, rule in _RULES.items():
            value = getattr(self, key)
            if isinstance(value, list):  # JSON, TOML and callers pass lists; a frozen card holds tuples
                value = tuple(value)
                object.__setattr__(self, key, value)
            if not fits(value, rule.schema):
                raise ModelError(f"card: {key!r} must be {rule.expected}, not {_shown(value)}")

    @property
    def morphs(self) -> bool:
        """Whether the input `latent` is the position of the result between `image` and `reference`."""
        return self.latent is not None and self.latent["distribution"] == "position"

    @property
    def inputs(self) -> dict[str, tuple[int | str, ...]]:
        """Name -> shape of every input of the model, in the order of docs/model-file.md. A letter is a dynamic side."""
        found: dict[str, tuple[int | str, ...]] = {"image": ("N", 3, "H", "W")}
        if self.task == "inpaint":
            found["mask"] = ("N", 1, "H", "W")
        if self.domains:
            found["domain"] = ("N", len(self.domains))
        if self.reference is not None:
            found["reference"] = ("N", 3, "h", "w")
        if self.latent is not None:
            found["latent"] = ("N", self.latent["length"])
        return found

    @classmethod
    def from_json(cls, text: str, *, where: str) -> "Card":
        """Parse a card. `where` names the file in messages. Unknown keys go to `extra`.

        Raises:
            ModelError: the text is not a JSON object, its `format` differs, a key is missing, or a value has the wrong
                type or is out of range.
        """
        try:
            values = json.loads(text, parse_constant=_refuse_constant, parse_int=_bounded, parse_float=_bounded)
        except (ValueError, RecursionError) as error:
            raise ModelError(f"{where}: the model's card is not JSON: {error}") from error
        if not isinstance(values, dict):
            raise ModelError(f"{where}: the model's card must be a JSON object, not {_shown(values)}")
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
        """The card as one line of JSON; `from_json` restores an equal card."""
        values = {key: getattr(self, key) for key in _KEYS}
        return json.dumps(values | self.extra, ensure_ascii=False, allow_nan=False)


def _refuse_constant(text: str) -> None:
    raise ValueError(f"{text} is no number in JSON")


def _bounded(text: str) -> int | float:
    """Parse a number of a card, also one of an unknown key. Raises ValueError."""
    value = float(text)
    if not abs(value) <= _MAX_NUMBER:
        raise ValueError(f"the number {text[:20]}{'…' if len(text) > 20 else ''} is out of range")
    return value if any(mark in text for mark in ".eE") else int(text)


def _shown(value: object) -> str:
    value = list(value) if isinstance(value, tuple) else value
    shown = "null" if value is None else repr(value)
    return shown if len(shown) <= 60 else f"{shown[:60]}…"


def _other_format(version: object, created_with: object) -> str:
    what = f"its card has format {_shown(version)}, but this img2img {__version__} reads format {FORMAT}"
    if not isinstance(version, int) or version <= FORMAT:
        return what
    writer = re.match(r"img2img (\d[\w.+-]{0,30})", created_with) if isinstance(created_with, str) else None
    if writer is None:
        return f"{what}: install a newer version (pip install -U img2img)"
    return (
        f"{what}: img2img {writer[1]} wrote it, so install that version or newer"
        f" (pip install -U 'img2img>={writer[1]}')"
    )


class _Rule(NamedTuple):
    """The allowed values of a key, in words and as a JSON Schema, and the meaning of the key."""

    expected: str
    schema: dict[str, Any]
    description: str


def _integer(low: int, high: int | None = None) -> dict[str, Any]:
    return {"type": "integer", "minimum": low} | ({} if high is None else {"maximum": high})


_TEXT: dict[str, Any] = {"type": "string"}
_TEXTS: dict[str, Any] = {"type": "array", "items": _TEXT}
_SIDE = _integer(1, _MAX_SIDE)
_FIGURES: dict[str, Any] = {"type": "object", "additionalProperties": {"type": ["number", "string"]}}
_REFERENCE: dict[str, Any] = {
    "type": ["object", "null"],
    "properties": {
        "about": _TEXT | {"description": "What it is, for people: 'a picture in the wanted style'."},
        "multiple": _SIDE | {"description": "h and w must be multiples of this number: pad by reflection."},
        "minimum": _SIDE | {"description": "Smallest h and w, in pixels."},
    },
    "required": ["about", "multiple", "minimum"],
}
_LATENT: dict[str, Any] = {
    "type": ["object", "null"],
    "properties": {
        "length": _integer(1, _MAX_LATENT) | {"description": "Number of values, L."},
        "distribution": _TEXT
        | {
            "enum": ["normal", "position"],
            "description": "normal: independent, mean 0 and variance 1. position: one number, how far to go from the"
            " image (0) to the reference (1).",
        },
    },
    "required": ["length", "distribution"],
}
_SELFTEST: dict[str, Any] = {
    "type": ["object", "null"],
    "properties": {
        "height": _integer(1, MAX_SELFTEST_SIDE) | {"description": "Height H of the picture."},
        "width": _integer(1, MAX_SELFTEST_SIDE) | {"description": "Width W of the picture."},
        "result": {
            "type": "string",
            "pattern": "^[0-9a-f]{192}$",
            "description": "Two bytes, as hexadecimal digits, per row of blocks, block in the row, and channel.",
        },
    },
    "required": ["height", "width", "result"],
}

_RULES: dict[str, _Rule] = {
    "format": _Rule(f"{FORMAT}", {"type": "integer", "const": FORMAT}, "Version of the card format."),
    "name": _Rule(
        "a non-empty string",
        {"type": "string", "minLength": 1},
        "Name of the model. For bundled models, this is the file name.",
    ),
    "task": _Rule(
        f"one of {', '.join(TASKS)}",
        {"type": "string", "enum": list(TASKS)},
        "What the model does: enlarge pictures, translate them into another domain, or fill holes in them.",
    ),
    "method": _Rule(
        "a string", _TEXT, "The method that trained the model, and how it was exported, for example 'esrgan'."
    ),
    "scale": _Rule(
        f"an integer from 1 to {_MAX_SCALE}", _integer(1, _MAX_SCALE), "Side of the result / side of the image."
    ),
    "multiple": _Rule(
        f"an integer from 1 to {_MAX_SIDE}",
        _SIDE,
        "H and W of the image must be multiples of this number: pad by reflection and crop the result.",
    ),
    "minimum": _Rule(f"an integer from 1 to {_MAX_SIDE}", _SIDE, "Smallest H and W of the image, in pixels."),
    "context": _Rule(
        f"an integer from 0 to {_MAX_SIDE}, or null",
        {"type": ["integer", "null"], "minimum": 0, "maximum": _MAX_SIDE},
        "Number of image pixels around a tile that affect its result, measured. Null: the whole picture affects it.",
    ),
    "side": _Rule(
        f"an integer from 1 to {_MAX_SIDE}, or null",
        {"type": ["integer", "null"], "minimum": 1, "maximum": _MAX_SIDE},
        "Shorter side, in pixels, of the whole pictures that the model was trained on. At other sizes, the network sees"
        " a smaller or larger part of an object at once. Null: unknown, or any size.",
    ),
    "resizes": _Rule(
        "true or false",
        {"type": "boolean"},
        "The network itself reduces pictures to the size that it knows. What it copies from the picture keeps its full"
        " resolution, so give it large pictures as they are.",
    ),
    "input_quality": _Rule(
        "clean, degraded or null",
        {"type": ["string", "null"], "enum": ["clean", "degraded", None]},
        "The photos that the model is for. clean: it keeps everything in the photo, including noise and compression"
        " artefacts. degraded: it removes them. Null: unknown, or it makes no difference.",
    ),
    "domains": _Rule(
        "a list of strings", _TEXTS, "Names of the columns of the input `domain`; empty if there is no such input."
    ),
    "exclusive": _Rule(
        "true or false", {"type": "boolean"}, "A picture belongs to exactly one domain: `domain` is one-hot."
    ),
    "reference": _Rule(
        "null, or an object of about (a string), and of multiple and minimum from 1 to 65536",
        _REFERENCE,
        "The input `reference`: a second picture, RGB 0..1, with sides of its own (h, w). It is required and is never"
        " cut into tiles: every tile gets the whole reference. Null: there is no such input.",
    ),
    "latent": _Rule(
        f"null, or an object of length from 1 to {_MAX_LATENT} and the distribution 'normal' or 'position'",
        _LATENT,
        "The input `latent`: a style code of L numbers. Draw them from the distribution for varied results, or pass"
        " zeros. Or the position of the result between image and reference. Null: there is no such input.",
    ),
    "precision": _Rule(
        "a string",
        _TEXT,
        "Precision of the computation: fp32, fp16 or int8. Inputs and result are always float32. fp32 files may store"
        " their weights with 16 bits.",
    ),
    "parameters": _Rule("an integer from 0 to 10^15", _integer(0, _MAX_PARAMETERS), "Number of trained values."),
    "licence": _Rule("a string", _TEXT, "Licence of the weights, as an SPDX identifier if there is one."),
    "trained_on": _Rule("a list of strings", _TEXTS, "The data sets that the model was trained on."),
    "metrics": _Rule(
        "an object of objects of finite numbers and strings",
        {"type": "object", "additionalProperties": _FIGURES},
        "Maps a data set, or another thing that was measured, to its figures; `command` is the command that measured"
        " them.",
    ),
    "created_with": _Rule("a string", _TEXT, "The programs that wrote the file: 'img2img VERSION', then others."),
    "sha256": _Rule(
        "64 hexadecimal digits, or null",
        {"type": ["string", "null"], "pattern": "^[0-9a-f]{64}$"},
        "SHA-256 of two parts. First, all fields of the ONNX file's protobuf message (tag, length and content, in the"
        " order of the file) except the metadata entry 'img2img', which is the card. Then each external weights file,"
        " sorted by name: name, 0 byte, size in decimal digits, 0 byte, content.",
    ),
    "selftest": _Rule(
        f"null, or an object of height and width from 1 to {MAX_SELFTEST_SIDE} and 192 hexadecimal digits as result",
        _SELFTEST,
        "A fingerprint of the model's result for a computed picture. The picture, in integers (div rounds down):"
        " t = ((2 + c)(256x div W) + (4 - c)(256y div H) + 85c) mod 512, u = min(t, 511 - t), e = 255 if x div 8 +"
        " y div 5 is odd, else 0, v = (5u + 2e + (3xx + 5yy + 7xy) mod 256) div 8. The image at row y, column x,"
        " channel c (red 0, green 1, blue 2) is v / 255. The input `mask` is 1 where H/4 <= y < 3H/4 and"
        " W/3 <= x < 2W/3, and 0 elsewhere. The input `domain` is 1 in its first column and 0 in the others. The"
        " input `reference` is the same computed picture with red and blue exchanged, and its own h and w: the smallest"
        " allowed sides of at least 40 and 24. The input `latent` is ((5i) mod 9 - 4) / 4 at index i. The"
        " fingerprint: cut the result into 4x4 blocks at multiples of a quarter of its sides, rounded down. For each"
        " block and channel, the first byte is 255 times the mean; the second is 255 times the mean absolute difference"
        " between a pixel and its left neighbour inside the block; both are rounded. Null: unknown, or the results vary"
        " between runs.",
    ),
}
_KEYS = tuple(one.name for one in fields(Card) if one.name != "extra")


def json_schema() -> dict[str, Any]:
    """The JSON Schema (2020-12) of a card, built from the rules that `Card` checks."""
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
        "description": "The properties of a model: JSON in metadata_props['img2img'] of the ONNX file.",
        "type": "object",
        "properties": properties,
        "required": ["format", *REQUIRED],
        "additionalProperties": True,  # keys of a later version
    }


_TYPES = {
    "string": lambda value: isinstance(value, str),
    # Stricter than JSON Schema, which accepts 2.0 as an integer, so that hand-written cards never yield floats.
    "integer": lambda value: isinstance(value, int) and not isinstance(value, bool),
    # JSON has neither NaN nor infinity: parsers in other languages would reject the whole card.
    "number": lambda value: (
        isinstance(value, int | float) and not isinstance(value, bool) and abs(value) <= _MAX_NUMBER
    ),
    "boolean": lambda value: isinstance(value, bool),
    "array": lambda value: isinstance(value, list | tuple),
    "object": lambda value: isinstance(value, dict) and all(isinstance(key, str) for key in value),
    "null": lambda value: value is None,
}


def fits(value: object, schema: dict[str, Any]) -> bool:
    """Whether `value`, in Python's equivalents of JSON types, conforms to a JSON Schema.

    Supports type, const, enum, minLength, pattern, minimum, maximum, items, properties, required and
    additionalProperties. A pattern must match the whole text.
    """
    kinds = schema.get("type", list(_TYPES))
    if not any(_TYPES[kind](value) for kind in ([kinds] if isinstance(kinds, str) else kinds)):
        return False
    if value != schema.get("const", value) or value not in schema.get("enum", [value]):
        return False
    if isinstance(value, str):
        return len(value) >= schema.get("minLength", 0) and bool(
            "pattern" not in schema or re.fullmatch(schema["pattern"], value)
        )
    if isinstance(value, int | float):
        return bool(schema.get("minimum", -math.inf) <= value <= schema.get("maximum", math.inf))
    if isinstance(value, list | tuple):
        return all(fits(one, schema.get("items", {})) for one in value)
    if isinstance(value, dict):
        known, others = schema.get("properties", {}), schema.get("additionalProperties", {})
        return all(key in value for key in schema.get("required", ())) and all(
            fits(one, known.get(key, {} if others is True else others)) for key, one in value.items()
        )
    return True
