"""Checks values against a JSON Schema. Supports only the few keywords that the card uses, without another package."""

import math
import re
from typing import Any

_TYPES = {
    "string": lambda value: isinstance(value, str),
    # Stricter than JSON Schema, which accepts 2.0 as an integer, so that hand-written cards never yield floats.
    "integer": lambda value: isinstance(value, int) and not isinstance(value, bool),
    # JSON has neither NaN nor infinity: parsers in other languages would reject the whole card.
    "number": lambda value: isinstance(value, int | float) and not isinstance(value, bool) and math.isfinite(value),
    "boolean": lambda value: isinstance(value, bool),
    "array": lambda value: isinstance(value, list | tuple),
    "object": lambda value: isinstance(value, dict) and all(isinstance(key, str) for key in value),
    "null": lambda value: value is None,
}


def fits(value: object, schema: dict[str, Any]) -> bool:
    """Whether `value`, in Python's equivalents of JSON types, conforms to `schema`.

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
