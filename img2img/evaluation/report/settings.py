"""The settings of a run: what differs from the recipe, and what differs between runs.

Everything comes from config.toml and the schema beside it, which holds the defaults of the recipe.
"""

import json
import tomllib
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, NamedTuple

MISSING = "not set"


class Difference(NamedTuple):
    """A setting that is not that of the recipe. Values as `--set` takes them."""

    key: str
    value: str
    default: str
    meaning: str


@dataclass(frozen=True)
class Settings:
    """The settings of a run.

    Attributes:
        values: as in config.toml; empty if it cannot be read.
        schema: the JSON schema of the settings; None if the run has none.
        problem: why something cannot be read, for the reader.
    """

    values: dict[str, Any] = field(default_factory=dict)
    schema: dict[str, Any] | None = None
    problem: str | None = None

    @classmethod
    def read(cls, folder: Path) -> "Settings":
        """Read the settings of the run in `folder`. Never raises: a problem is for the reader of the report."""
        path = folder / "config.toml"
        try:
            values = tomllib.loads(path.read_text(encoding="utf-8"))
        except FileNotFoundError:
            return cls(problem="there is no config.toml")
        except (OSError, UnicodeDecodeError, tomllib.TOMLDecodeError) as error:
            return cls(problem=f"config.toml cannot be read: {error}")
        if not isinstance(values.get("method"), str):
            return cls(values, problem="config.toml is damaged: it names no method")
        try:
            schema = json.loads((folder / "config.schema.json").read_text(encoding="utf-8"))
        except FileNotFoundError:
            return cls(values, problem="an older version wrote this run, without the recipe's defaults")
        except (OSError, ValueError) as error:
            return cls(values, problem=f"config.schema.json cannot be read: {error}")
        return cls(values, schema if isinstance(schema, dict) else None)

    def differences(self) -> list[Difference]:
        """The settings that are not those of the recipe. Settings without a default (the data) are left out."""
        return list(_differences(self.values, self.schema)) if self.schema else []

    def flat(self) -> dict[str, str]:
        """Every setting, by its dotted key."""
        return {key: shown(value) for key, value in _flat(self.values)}

    def get(self, *keys: str) -> Any:
        """The setting at `keys`; None if it is not there, or "none"."""
        value: Any = self.values
        for key in keys:
            value = value.get(key) if isinstance(value, dict) else None
        return None if value == "none" else value


def differing(runs: Sequence[Settings]) -> dict[str, list[str]]:
    """The settings that differ between `runs`: dotted key -> the value in each run."""
    flat = [run.flat() for run in runs]
    keys = dict.fromkeys(key for one in flat for key in one)
    rows = {key: [one.get(key, MISSING) for one in flat] for key in keys}
    return {key: row for key, row in rows.items() if len(set(row)) > 1}


def shown(value: Any) -> str:
    """A value as `--set` takes it."""
    if isinstance(value, dict):
        return "{" + ", ".join(f"{key} = {_quoted(one)}" for key, one in value.items()) + "}"
    if isinstance(value, list):
        return "[" + ", ".join(map(_quoted, value)) + "]"
    return value if isinstance(value, str) else _quoted(value)


def _quoted(value: Any) -> str:
    return shown(value) if isinstance(value, dict | list) else json.dumps(value, ensure_ascii=False, default=str)


def _differences(values: Mapping[str, Any], schema: Mapping[str, Any], prefix: str = "") -> Iterator[Difference]:
    known = schema.get("properties", {})
    required = schema.get("required", [])
    for key in dict.fromkeys((*known, *values)):
        rule, value = known.get(key, {}), values.get(key)
        if isinstance(value, dict) and "properties" in rule:
            yield from _differences(value, rule, f"{prefix}{key}.")
            continue
        default = rule.get("default")
        if (key in required and default is None) or value == default:
            continue
        if isinstance(value, dict) and isinstance(default, dict):  # options of a network
            for name in dict.fromkeys((*default, *value)):
                if value.get(name) != default.get(name):
                    yield _difference(f"{prefix}{key}.{name}", value.get(name), default.get(name), "")
        else:
            yield _difference(prefix + key, value, default, str(rule.get("description", "")))


def _difference(key: str, value: Any, default: Any, meaning: str) -> Difference:
    was, now = (MISSING if one is None else shown(one) for one in (default, value))
    return Difference(key, now, was, meaning)


def _flat(values: Mapping[str, Any], prefix: str = "") -> Iterator[tuple[str, Any]]:
    for key, value in values.items():
        if isinstance(value, dict) and value:
            yield from _flat(value, f"{prefix}{key}.")
        else:
            yield prefix + key, value
