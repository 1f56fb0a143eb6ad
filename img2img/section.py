"""Base class of every section of a training configuration."""

import os
from pathlib import Path
from typing import Any, get_args

from pydantic import BaseModel, ConfigDict, field_validator, model_validator

NONE = "none"
"""How files and command lines spell None. TOML has no value for it."""


class Section(BaseModel):
    """A section of a configuration. Rejects unknown keys and is immutable.

    Fields that may be None accept the text `none`. Paths become absolute, so that a saved configuration names the same
    files wherever it is read.
    """

    model_config = ConfigDict(extra="forbid", frozen=True, validate_default=True, allow_inf_nan=False)

    @model_validator(mode="before")
    @classmethod
    def _read_none(cls, values: Any) -> Any:
        if not isinstance(values, dict):
            return values
        optional = {k for k, field in cls.model_fields.items() if type(None) in get_args(field.annotation)}
        return {k: None if k in optional and v == NONE else v for k, v in values.items()}

    @field_validator("*", mode="after")
    @classmethod
    def _absolute(cls, value: Any) -> Any:
        if isinstance(value, Path):
            return Path(os.path.abspath(value))  # noqa: PTH100 - does not resolve links
        if isinstance(value, tuple) and any(isinstance(item, Path) for item in value):
            return tuple(cls._absolute(item) for item in value)
        return value


def none_to_text(values: Any) -> Any:
    """Return `values` with every None replaced by the text `none`, ready to save."""
    if isinstance(values, dict):
        return {key: none_to_text(value) for key, value in values.items()}
    return NONE if values is None else values
