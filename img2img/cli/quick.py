"""Typer 0.2x converts every option through pydantic, whose import is a quarter of a small picture's whole time.

`quicken` converts plain values itself and hands whatever it is not sure of (a wrong value above all, for the message) to
Typer. It rests on two names of Typer's parameters; where a version has others, nothing is changed but the speed.
"""

from __future__ import annotations

from enum import Enum
from typing import Any, get_args, get_origin

_UNSURE = object()


def quicken(command: Any) -> Any:
    """`command`, with parameters that convert strings, numbers and choices without pydantic."""
    for param in command.params:
        if hasattr(param, "type_descriptor") and hasattr(param, "process_value"):
            _wrap(param, param.process_value)
    return command


def _wrap(param: Any, original: Any) -> None:
    def process_value(ctx: Any, value: Any) -> Any:
        quick = _UNSURE if param.callback is not None else _convert(param, value)
        return original(ctx, value) if quick is _UNSURE else quick

    param.process_value = process_value


def _convert(param: Any, value: Any) -> Any:
    several = param.multiple or param.nargs != 1
    if not value and (several or value is None):
        return _UNSURE if param.required else () if several else None
    annotation, info = param.type_descriptor.annotation, param.type_descriptor.parameter_info
    if info.parser is not None or info.click_type is not None:
        return _UNSURE
    if several:
        plain = get_origin(annotation) is list and get_args(annotation) == (str,) and not isinstance(value, str)
        return list(value) if plain and all(isinstance(one, str) for one in value) else _UNSURE
    if not isinstance(annotation, type):
        return _UNSURE
    if isinstance(value, annotation):
        return value
    if not isinstance(value, str) or not (annotation in (int, float) or issubclass(annotation, Enum)):
        return _UNSURE
    try:
        converted = annotation(value)
    except ValueError:
        return _UNSURE
    low, high = info.min, info.max
    inside = (low is None or converted >= low) and (high is None or converted <= high)
    return converted if inside else _UNSURE
