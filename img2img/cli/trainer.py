"""What the commands around training share: required packages and settings files."""

from __future__ import annotations

import importlib.util
import os
import tomllib
from pathlib import Path
from typing import Any

from img2img.errors import ConfigError

PACKAGES = ("torch", "torchvision", "accelerate", "pydantic", "onnx", "safetensors", "cv2")


def need_training_packages() -> None:
    """Check that the training packages are installed. Call this before numpy is imported.

    Raises:
        ConfigError: a package is missing. The message says how to install it.
    """
    # The data package multiplies small matrices. The threads of OpenBLAS do not speed that up, and while they spin
    # they take cores from torch: a batch of 8 takes 0.1 s with them and 0.01 s without.
    os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")
    missing = [name for name in PACKAGES if importlib.util.find_spec(name) is None]
    if missing:
        raise ConfigError(f"this needs {', '.join(missing)}: pip install 'img2img[train]'")


def read_settings(path: Path) -> dict[str, Any]:
    """Read a settings file. The result is not validated.

    Raises:
        ConfigError: the file cannot be read as TOML.
    """
    try:
        return tomllib.loads(path.read_text(encoding="utf-8"))
    except (OSError, UnicodeDecodeError, tomllib.TOMLDecodeError) as error:
        raise ConfigError(f"{path}: cannot be read as a configuration: {error}") from error


def limit(max_pixels: int | None) -> list[str]:
    """Return --max-pixels as an assignment to the settings; none if it was not given."""
    return [] if max_pixels is None else [f"data.max_pixels={max_pixels}"]
