"""Changing what a model file says about itself, not what it does."""

import dataclasses
from pathlib import Path
from typing import Any

import onnx

from img2img.errors import ModelError
from img2img.runtime.atomic import atomic
from img2img.runtime.card import METADATA_KEY, Card


def amend(path: Path, **changes: Any) -> Card:
    """Rewrite `path` with these keys of its card changed; the network stays byte for byte. Returns the new card.

    Raises:
        ModelError: the file has no card to change, or a value does not fit the card.
    """
    model = onnx.load(path, load_external_data=False)
    entries = [entry for entry in model.metadata_props if entry.key == METADATA_KEY]
    if not entries:
        raise ModelError(f"{path}: it has no card to write into")
    card = dataclasses.replace(Card.from_json(entries[0].value, where=str(path)), **changes)
    entries[0].value = card.to_json()
    with atomic(path) as file:
        file.write(model.SerializeToString())
    return card
