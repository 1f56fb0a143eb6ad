"""What the commands around training share: its packages, its settings files, what to do with a model."""

from __future__ import annotations

import importlib.util
import os
import shlex
import tomllib
from pathlib import Path
from typing import TYPE_CHECKING, Any

from img2img.errors import ConfigError

if TYPE_CHECKING:
    from img2img.runtime.network.card import Card

PACKAGES = ("torch", "torchvision", "accelerate", "pydantic", "onnx", "safetensors", "cv2", "psutil")
INPUTS = {"upscale": "PHOTO", "translate": "PICTURE", "inpaint": "PHOTO --mask MASK"}


def need_training_packages() -> None:
    """Call before numpy is imported.

    Raises:
        ConfigError: one is not installed; the message says how to get them.
    """
    # The small matrix products of the data room gain nothing from OpenBLAS' threads, whose spinning also
    # steals the cores from torch: a batch of 8 takes 0.1 s with them, 0.01 s without.
    os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")
    missing = [name for name in PACKAGES if importlib.util.find_spec(name) is None]
    if missing:
        raise ConfigError(f"this needs {', '.join(missing)}: pip install 'img2img[train]'")


def read_settings(path: Path) -> dict[str, Any]:
    """A settings file, not yet validated.

    Raises:
        ConfigError: it cannot be read as TOML.
    """
    try:
        return tomllib.loads(path.read_text(encoding="utf-8"))
    except (OSError, UnicodeDecodeError, tomllib.TOMLDecodeError) as error:
        raise ConfigError(f"{path}: cannot be read as a configuration: {error}") from error


def usage(model: Path, card: Card) -> str:
    """The command that uses a model file."""
    to = f" --to {shlex.quote(card.domains[0])}" if card.domains else ""
    return f"img2img {card.task} {INPUTS[card.task]} --model {shlex.quote(str(model))}{to}"
