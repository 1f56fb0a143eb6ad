"""What methods that train in stages share."""

import tomllib
from pathlib import Path
from typing import Any


def settings_of_run(start: Path) -> dict[str, Any]:
    """Return the settings of the run or checkpoint folder `start`. Empty if they cannot be read."""
    if not start.exists():
        return {}
    for folder in (start, start.absolute().parent.parent):
        try:
            return tomllib.loads((folder / "config.toml").read_text(encoding="utf-8"))
        except (OSError, UnicodeDecodeError, tomllib.TOMLDecodeError):
            continue
    return {}
