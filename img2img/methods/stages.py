"""Settings that a later stage of a training takes from the run that it starts from."""

import tomllib
from collections.abc import Iterable
from pathlib import Path
from typing import Any


def settings_of_run(start: Path, keys: Iterable[str]) -> dict[str, Any]:
    """Return the settings `keys` of the run or checkpoint folder `start`. Empty if they cannot be read."""
    if not start.exists():
        return {}
    for folder in (start, start.absolute().parent.parent):
        try:
            values = tomllib.loads((folder / "config.toml").read_text(encoding="utf-8"))
        except (OSError, UnicodeDecodeError, tomllib.TOMLDecodeError):
            continue
        return {key: values[key] for key in keys if key in values}
    return {}
