"""Says the type of a JSON schema in a few words."""

from collections.abc import Mapping
from typing import Any

from markup import code

_NAMES = {"string": "text", "object": "table", "boolean": "boolean", "integer": "integer", "number": "number"}
_PLURALS = {"text": "texts", "path": "paths", "integer": "integers", "number": "numbers"}


def type_text(schema: Mapping[str, Any]) -> str:
    """A JSON schema in a few words, such as "integer, 1..64" or "path or `none`"."""
    if "const" in schema:
        return code(str(schema["const"]))
    if "enum" in schema:
        return ", ".join(code(str(one)) for one in schema["enum"])
    if "anyOf" in schema:
        return " or ".join(type_text(one) for one in schema["anyOf"])
    kind = schema.get("type")
    if isinstance(kind, list):
        return " or ".join(type_text({**schema, "type": one}) for one in kind)
    if kind == "null":
        return code("null")
    if kind == "array":
        return _array(schema)
    if kind == "object" and isinstance(schema.get("additionalProperties"), Mapping):
        return f"table of {_plural(type_text(schema['additionalProperties']))}"
    return schema.get("format") or f"{_NAMES.get(str(kind), 'any')}{_range(schema)}"


def _range(schema: Mapping[str, Any]) -> str:
    low, high = schema.get("minimum"), schema.get("maximum")
    if low is not None and high is not None:
        return f", {low:g}..{high:g}"
    signs = (("minimum", "≥"), ("exclusiveMinimum", ">"), ("maximum", "≤"), ("exclusiveMaximum", "<"))
    limits = [f"{sign} {schema[key]:g}" for key, sign in signs if key in schema]
    return f" {' and '.join(limits)}" if limits else ""


def _array(schema: Mapping[str, Any]) -> str:
    items = schema.get("items", {})
    if isinstance(items, list):
        return " and ".join(type_text(one) for one in items)
    low, high = schema.get("minItems"), schema.get("maxItems")
    count = f"{low} " if low is not None and low == high else "list of "
    return count + _plural(type_text(items))


def _plural(text: str) -> str:
    word, space, rest = text.partition(" ")
    comma = "," if word.endswith(",") else ""
    word = word.removesuffix(",")
    return _PLURALS.get(word, word) + comma + space + rest
