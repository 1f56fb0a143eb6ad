"""The card: what a model file says about itself, as JSON in the ONNX metadata (contract 1 of the design).

A stdlib dataclass, because importing pydantic costs a quarter of the time that upscaling a small picture may take.
"""

import json
import math
from collections.abc import Callable
from dataclasses import dataclass, field, fields
from typing import Any

from img2img.errors import ModelError

METADATA_KEY = "img2img"
FORMAT = 1
TASKS = ("upscale", "translate", "inpaint")

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
    domains: tuple[str, ...] = ()  # names of the columns of the input `domain`
    exclusive: bool = False  # True: a picture is in exactly one of the domains
    precision: str = "fp32"  # of the weights; the face of a model is float32 always
    parameters: int = 0
    licence: str = ""
    trained_on: tuple[str, ...] = ()
    metrics: dict[str, dict[str, float | str]] = field(default_factory=dict)  # data set -> figures and their command
    created_with: str = ""
    extra: dict[str, Any] = field(default_factory=dict)  # keys of a later version, kept as they came

    def __post_init__(self) -> None:
        for key, (expected, is_valid) in _RULES.items():
            value = getattr(self, key)
            if isinstance(value, list):  # JSON, TOML and callers have lists; a frozen card keeps a tuple
                value = tuple(value)
                object.__setattr__(self, key, value)
            if not is_valid(value):
                raise ModelError(f"card: {key!r} must be {expected}, not {_shown(value)}")

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
        version = values.get("format")
        if version != FORMAT or isinstance(version, bool):
            raise ModelError(
                f"{where}: the model's card has format {_shown(version)}, this program reads format {FORMAT}"
                " (a newer img2img may be needed)"
            )
        missing = [key for key in ("name", "task", "scale") if key not in values]
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


def _text(value: object) -> bool:
    return isinstance(value, str)


def _texts(value: object) -> bool:
    return isinstance(value, tuple) and all(isinstance(one, str) for one in value)


def _integer(low: int, high: float = math.inf) -> Callable[[object], bool]:
    return lambda value: isinstance(value, int) and not isinstance(value, bool) and low <= value <= high


def _figures(value: object) -> bool:
    return isinstance(value, dict) and all(
        isinstance(name, str)
        and isinstance(group, dict)
        and all(isinstance(key, str) and _figure(one) for key, one in group.items())
        for name, group in value.items()
    )


def _figure(value: object) -> bool:
    # JSON has neither NaN nor infinity; readers in other languages would refuse the whole card.
    return isinstance(value, str) or (
        isinstance(value, int | float) and not isinstance(value, bool) and math.isfinite(value)
    )


_side = _integer(1, _MAX_SIDE)
_context = _integer(0, _MAX_SIDE)

_RULES: dict[str, tuple[str, Callable[[object], bool]]] = {
    "format": (f"{FORMAT}", _integer(FORMAT, FORMAT)),
    "name": ("a text that is not empty", lambda value: isinstance(value, str) and value != ""),
    "task": (f"one of {', '.join(TASKS)}", lambda value: isinstance(value, str) and value in TASKS),
    "method": ("a text", _text),
    "scale": (f"an integer from 1 to {_MAX_SCALE}", _integer(1, _MAX_SCALE)),
    "multiple": (f"an integer from 1 to {_MAX_SIDE}", _side),
    "minimum": (f"an integer from 1 to {_MAX_SIDE}", _side),
    "context": (f"an integer from 0 to {_MAX_SIDE}, or null", lambda value: value is None or _context(value)),
    "domains": ("a list of texts", _texts),
    "exclusive": ("true or false", lambda value: isinstance(value, bool)),
    "precision": ("a text", _text),
    "parameters": ("an integer of at least 0", _integer(0)),
    "licence": ("a text", _text),
    "trained_on": ("a list of texts", _texts),
    "metrics": ("an object of objects of finite numbers and texts", _figures),
    "created_with": ("a text", _text),
}
_KEYS = tuple(one.name for one in fields(Card) if one.name != "extra")
