"""The base of every part of a training configuration; the data room and the methods define theirs from it."""

import os
from pathlib import Path
from typing import Any, get_args

from pydantic import BaseModel, ConfigDict, field_validator, model_validator

NONE = "none"
"""How a file or a command line writes None: TOML has no word for it."""


class Section(BaseModel):
    """A part of a configuration: unknown keys are errors, values cannot be changed afterwards.

    The text `none` stands for None in fields that can be None. Paths become absolute, so that a saved configuration
    means the same files wherever it is read.
    """

    model_config = ConfigDict(extra="forbid", frozen=True, validate_default=True)

    @model_validator(mode="before")
    @classmethod
    def _read_none(cls, values: Any) -> Any:
        if not isinstance(values, dict):
            return values
        empty = {k for k, field in cls.model_fields.items() if type(None) in get_args(field.annotation)}
        return {k: None if k in empty and v == NONE else v for k, v in values.items()}

    @field_validator("*", mode="after")
    @classmethod
    def _absolute(cls, value: Any) -> Any:
        if isinstance(value, Path):
            return Path(os.path.abspath(value))  # noqa: PTH100 - links keep their names
        if isinstance(value, tuple) and any(isinstance(one, Path) for one in value):
            return tuple(cls._absolute(one) for one in value)
        return value


def written(values: Any) -> Any:
    """`values` with `none` in the place of None, for a file."""
    if isinstance(values, dict):
        return {key: written(value) for key, value in values.items()}
    return NONE if values is None else values
