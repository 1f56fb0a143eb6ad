"""The settings of a training command: those of a file or a run, options and assignments, combined or printed."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

from img2img.cli import trainer
from img2img.errors import ConfigError

if TYPE_CHECKING:
    from img2img.methods.config import RunConfig


def of_run(folder: Path) -> Path | None:
    """Return the settings file of the run in `folder`; None if it has no checkpoint, so that nothing can continue."""
    from img2img.training.checkpoints import Store

    settings = folder / "config.toml"
    return settings if Store(folder / "checkpoints", keep=1).steps() and settings.exists() else None


def combine(
    recipe: type[RunConfig],
    source: Path | None,
    folder: Path,
    options: dict[str, Any],
    data: list[str],
    assignments: list[str],
) -> dict[str, Any]:
    """Return every setting of a run, not validated. Later parts override earlier ones: recipe, file, options, --set.

    Args:
        source: settings file, if there is one.
        folder: the run folder.
        options: settings that have their own options, such as --steps. They include "method".
        data: the folders of --data.
        assignments: `KEY=VALUE` each.

    Raises:
        ConfigError: the file cannot be read or belongs to another method or stage, or an assignment is malformed.
    """
    from img2img.methods.config import assign

    values = trainer.read_settings(source) if source else {}
    _check_method(values, options["method"], source, folder)
    written = values.get("stage")
    values |= options
    if data:
        given = values.get("data", {})
        values["data"] = {**given, "folders": data} if isinstance(given, dict) else given
    # The defaults of other settings depend on these two.
    assign(values, [one for one in assignments if one.partition("=")[0].strip() in ("stage", "start")])
    if written is not None and values["stage"] != written:
        raise ConfigError(
            f"{source}: these are settings of the {written} stage, not of the {values['stage']} stage; "
            f"start a run of that stage with --stage {values['stage']} --start RUN"
        )
    values = recipe.with_defaults(values)
    assign(values, assignments)
    return values


def has_data(values: dict[str, Any]) -> bool:
    """Return whether the settings name the folders of the data. A section that is not one is left to validation."""
    section = values.get("data", {})
    return not isinstance(section, dict) or "folders" in section


def check_data_is_there(config: Any, folder: Path) -> None:
    """Check that the data of the run in `folder` has not moved.

    Raises:
        ConfigError: it has.
    """
    from img2img.data.inventory import places

    for key, paths in places(config.data).items():
        if absent := [path for path in paths if not path.exists()]:
            option = "--data" if key == "folders" else f"--set data.{key}="
            raise ConfigError(
                f"{absent[0]}: no such folder or file, but the run in {folder} needs it; if it has moved, name its new "
                f"place with {option}"
            )


def print_schema(recipe: type[RunConfig]) -> None:
    """Print the JSON schema of the settings."""
    from img2img.methods.schema import json_schema

    sys.stdout.write(json.dumps(json_schema(recipe), indent=2) + "\n")


def print_settings(recipe: type[RunConfig], values: dict[str, Any]) -> None:
    """Print every setting with its meaning, and the value that a run with the settings `values` would use.

    The folders of the data may be missing. They are then printed as required.

    Raises:
        ConfigError: a key is unknown or a value is invalid.
    """
    missing = not has_data(values)
    if missing:
        values = {**values, "data": {**values.get("data", {}), "folders": ["."]}}
    config = recipe.parse(values, where="settings")
    _print_section(config, config.model_dump(mode="json"), required={"data.folders"} if missing else set())


def _print_section(section: Any, values: dict[str, Any], *, required: set[str], prefix: str = "") -> None:
    for name, field in type(section).model_fields.items():
        value = getattr(section, name)
        if hasattr(value, "model_dump"):
            _print_section(value, values[name], required=required, prefix=f"{prefix}{name}.")
        else:
            shown = "required" if prefix + name in required else _as_toml(values[name])
            sys.stdout.write(f"{prefix}{name} = {shown}\n    {field.description}\n")


def _as_toml(value: Any, *, quoted: bool = False) -> str:
    """Return `value` as --set takes it."""
    from img2img.section import NONE

    if value is None:
        return NONE
    if isinstance(value, dict):
        pairs = (f"{key} = {_as_toml(one, quoted=True)}" for key, one in value.items())
        return f"{{{', '.join(pairs)}}}"
    if isinstance(value, list):
        return f"[{', '.join(_as_toml(one, quoted=True) for one in value)}]"
    return value if isinstance(value, str) and not quoted else json.dumps(value)


def _check_method(values: dict[str, Any], method: str, source: Path | None, folder: Path) -> None:
    """Check that the settings in `source` are those of `method`."""
    theirs = values.get("method", method)
    if theirs == method:
        return
    if source == folder / "config.toml":
        raise ConfigError(
            f"{folder} holds a run of {theirs}, not of {method}; use another --out, or continue it with "
            f"'img2img train {theirs} --out {folder}'"
        )
    raise ConfigError(f"{source}: these are settings of {theirs}, not of {method}")
