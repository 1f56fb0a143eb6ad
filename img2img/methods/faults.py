"""Says in plain English what is wrong with the values of a configuration."""

import difflib
from collections.abc import Sequence
from types import UnionType
from typing import Any, Union, get_args, get_origin

from pydantic import BaseModel, ValidationError

SHOWN = 3
"""Number of faults that a message describes."""

LONGEST = 60
"""Characters of a value in a message."""

# By pydantic's type of fault; the braces are filled from its context.
_RULES = {
    "int_type": "must be a whole number",
    "int_parsing": "must be a whole number",
    "int_parsing_size": "must be a smaller whole number",
    "int_from_float": "must be a whole number",
    "float_type": "must be a number",
    "float_parsing": "must be a number",
    "finite_number": "must be a finite number",
    "bool_type": "must be true or false",
    "bool_parsing": "must be true or false",
    "string_type": "must be text",
    "path_type": "must be a path",
    "literal_error": "must be {expected}",
    "greater_than": "must be greater than {gt}",
    "greater_than_equal": "must be at least {ge}",
    "less_than": "must be less than {lt}",
    "less_than_equal": "must be at most {le}",
    "tuple_type": "must be a list, such as [1, 2]",
    "list_type": "must be a list, such as [1, 2]",
    "dict_type": "must be a section with keys",
}
_SCALARS = {"int": "a number", "float": "a number", "str": "text", "bool": "true or false"}


def describe(model: type[BaseModel], error: ValidationError) -> str:
    """Describe the first faults that `error` found in the values of `model`, each with its key."""
    found = dict.fromkeys(_faults(model, error.errors()))
    more = f"; and {len(found) - SHOWN} more" if len(found) > SHOWN else ""
    return "; ".join(list(found)[:SHOWN]) + more


def _faults(model: type[BaseModel], faults: Sequence[Any]) -> list[str]:
    # A value that may be of several types has a fault for each of them, at a place that ends with the type.
    unions: dict[tuple[Any, ...], list[str]] = {}
    for fault in faults:
        if fault["loc"] and fault["loc"][-1] in _SCALARS and fault["type"] != "extra_forbidden":
            unions.setdefault(fault["loc"][:-1], []).append(_SCALARS[fault["loc"][-1]])
    texts = []
    for fault in faults:
        place = tuple(fault["loc"])
        if place[:-1] in unions and place[-1] in _SCALARS:
            texts.append(f"{_key(place[:-1])}: must be {_either(unions[place[:-1]])}, not {_shown(fault['input'])}")
        else:
            texts.append(_fault(model, fault))
    return texts


def _fault(model: type[BaseModel], fault: Any) -> str:
    key, kind, context = _key(fault["loc"]), fault["type"], fault.get("ctx", {})
    if kind == "extra_forbidden":
        return _unknown(model, fault["loc"])
    if kind == "value_error":
        message = str(context["error"])
        return f"{key}: {message}" if key else message
    if kind == "missing":
        return f"{key}: is missing"
    if kind in ("too_short", "too_long"):
        limit = f"at least {context['min_length']}" if kind == "too_short" else f"at most {context.get('max_length')}"
        return f"{key}: must have {limit} values, not {context.get('actual_length')}"
    if kind in ("model_type", "model_attributes_type"):
        fields = list(_section_at(model, fault["loc"]).model_fields)
        return f"{key}: is a section, not a value; set one of its keys, such as {key}.{fields[0]}"
    rule = _RULES[kind].format(**context) if kind in _RULES else str(fault["msg"]).replace("Input should", "must")
    return f"{key}: {rule}, not {_shown(fault['input'])}"


def _unknown(model: type[BaseModel], place: Sequence[Any]) -> str:
    *sections, key = place
    fields = list(_section_at(model, sections).model_fields)
    near = difflib.get_close_matches(str(key), fields, 1)
    if near:
        return f"unknown key '{_key(place)}'; did you mean '{near[0]}'?"
    listed = ", ".join(fields) if len(fields) <= 8 else f"{', '.join(fields[:8])} and others (see --show-config)"
    return f"unknown key '{_key(place)}'; there are {listed}"


def _key(place: Sequence[Any]) -> str:
    return ".".join(str(part) for part in place)


def _section_at(model: type[BaseModel], place: Sequence[Any]) -> type[BaseModel]:
    for name in place:
        annotation = model.model_fields[str(name)].annotation
        options = get_args(annotation) if get_origin(annotation) in (Union, UnionType) else (annotation,)
        model = next((o for o in options if isinstance(o, type) and issubclass(o, BaseModel)), model)
    return model


def _either(words: Sequence[str]) -> str:
    *some, last = dict.fromkeys(words)
    return f"{', '.join(some)} or {last}" if some else last


def _shown(value: object) -> str:
    shown = str(value).lower() if isinstance(value, bool) else repr(value)
    return shown if len(shown) <= LONGEST else f"{shown[:LONGEST]}..."
