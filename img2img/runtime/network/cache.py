"""Keeps what was measured on this machine for the next call. Losing it costs seconds, never a result."""

import contextlib
import hashlib
import json
import os
from pathlib import Path
from typing import Any

from img2img.atomic import atomic
from img2img.errors import Img2ImgError


def folder() -> Path:
    """$IMG2IMG_CACHE, or the platform's folder for caches. May not exist."""
    if chosen := os.environ.get("IMG2IMG_CACHE"):
        return Path(chosen).expanduser()
    import platformdirs

    return platformdirs.user_cache_path("img2img", appauthor=False)


def get(kind: str, key: list[Any]) -> dict[str, Any] | None:
    """Return what `put` stored under the same kind and key; None if there is no readable entry."""
    try:
        kept = json.loads(_file(kind, key).read_text(encoding="utf-8"))
    except (OSError, ValueError, RuntimeError, RecursionError):  # RuntimeError: the user has no home folder
        return None
    # The file holds the key as well, because the hash in its name tells a human nothing.
    values = kept.get("value") if isinstance(kept, dict) and kept.get("key") == key else None
    return values if isinstance(values, dict) else None


def put(kind: str, key: list[Any], value: dict[str, Any]) -> None:
    """Store `value` completely or not at all. If the folder is not writable, nothing is stored and nothing reported.

    kind: the name of a subfolder. key, value: JSON data. Each key has its own file, so processes that measure at the
    same time do not overwrite each other's results.
    """
    with contextlib.suppress(OSError, Img2ImgError, RuntimeError), atomic(_file(kind, key)) as file:
        file.write(json.dumps({"key": key, "value": value}).encode())


def _file(kind: str, key: list[Any]) -> Path:
    place = folder()
    if place.parts[:1] == ("~",):  # would become a folder of this name in the current folder
        raise RuntimeError("the user has no home folder")
    return place / kind / f"{hashlib.sha256(json.dumps(key).encode()).hexdigest()[:24]}.json"
