"""Keeps what was found out about models on this machine for the next call: speeds and digests.

Losing it costs seconds, never a result.
"""

import contextlib
import hashlib
import json
import os
from pathlib import Path
from typing import Any

from img2img.atomic import atomic
from img2img.errors import Img2ImgError, ModelError
from img2img.runtime.network import card_writing, model_file


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


def digest(path: Path, *, fresh: bool = False) -> str:
    """The digest of a model (`card_writing.digest`), computed once as long as its files keep their sizes and times.

    Args:
        fresh: compute it now, whatever is stored.

    Raises:
        ModelError: as `card_writing.digest`.
    """
    key = _state(path)
    known = None if fresh or key is None else (get("digests", key) or {}).get("sha256")
    if isinstance(known, str):
        return known
    found = card_writing.digest(path)
    if key is not None and key == _state(path):  # unchanged while it was read
        put("digests", key, {"sha256": found})
    return found


def _state(path: Path) -> list[Any] | None:
    """Path, size and time of the model file and of its external weights; None if one of them cannot be read."""
    try:
        files = [path, *(path.parent / name for name in sorted(model_file.external_files(path)))]
        states = [(file, file.stat()) for file in files]
    except (OSError, ModelError):  # loading reports it
        return None
    return [[str(file.absolute()), state.st_size, state.st_mtime_ns] for file, state in states]


def _file(kind: str, key: list[Any]) -> Path:
    place = folder()
    if place.parts[:1] == ("~",):  # would become a folder of this name in the current folder
        raise RuntimeError("the user has no home folder")
    return place / kind / f"{hashlib.sha256(json.dumps(key).encode()).hexdigest()[:24]}.json"
