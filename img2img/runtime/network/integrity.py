"""Compares a model file with the digest in its card whenever it is loaded. A file is hashed once, then remembered."""

from pathlib import Path
from typing import Any

from img2img.errors import ModelError
from img2img.runtime.network import cache, card_writing, model_file
from img2img.runtime.network.card import Card
from img2img.text import show


def check(path: Path, card: Card, *, verify: bool = False) -> list[str]:
    """Notes for the user if the bytes of a model differ from its card.

    Args:
        verify: hash the file now, whatever the cache says, and refuse a model that differs.

    Raises:
        ModelError: the digests differ and `verify` is set; see also `card_writing.digest`.
    """
    if card.sha256 is None:
        return [f"{show(path)}: its card has no digest, so --verify cannot check it"] if verify else []
    if _digest(path, fresh=verify) == card.sha256:
        return []
    changed = f"{show(path)}: damaged or changed: its digest differs from the one in its card"
    if verify:
        hint = "get the file again, or omit --verify"
        raise ModelError(f"{changed}; {hint}", path=path, hint=hint)
    return [f"warning: {changed}; get the file again (--verify refuses such models)"]


def _digest(path: Path, *, fresh: bool) -> str:
    key = _key(path)
    known = None if fresh or key is None else (cache.get("digests", key) or {}).get("sha256")
    if isinstance(known, str):
        return known
    found = card_writing.digest(path)
    if key is not None and key == _key(path):  # unchanged while it was read
        cache.put("digests", key, {"sha256": found})
    return found


def _key(path: Path) -> list[Any] | None:
    """Path, size and time of the model file and of its external weights; None if one of them cannot be read."""
    try:
        files = [path, *(path.parent / name for name in sorted(model_file.external_files(path)))]
        states = [(file, file.stat()) for file in files]
    except (OSError, ModelError):  # loading reports it
        return None
    return [[str(file.absolute()), state.st_size, state.st_mtime_ns] for file, state in states]
