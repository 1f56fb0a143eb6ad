"""Changing what a model file says about itself, not what it does."""

import dataclasses
from pathlib import Path
from typing import Any

from img2img.atomic import atomic
from img2img.errors import ModelError
from img2img.runtime.network import model_file, models, selftest
from img2img.runtime.network.card import Card


def amend(path: Path, **changes: Any) -> Card:
    """Rewrite `path` with these keys of its card changed; the network stays byte for byte. Returns the new card.

    A card of an older version gets the digest and the self-test that new files have.

    Raises:
        ModelError: the file has no card to change, is damaged, or a value does not fit the card.
    """
    card = models.read_card(path)
    if card is None:
        raise ModelError(f"{path}: it has no card to write into")
    model_file.require_safe(path)
    model_file.require_whole(path, card)  # a new digest would hide the damage
    card = dataclasses.replace(card, **changes)
    if not selftest.fits(card):
        card = dataclasses.replace(card, selftest=selftest.measured(path, card))
    data = model_file.with_card(path.read_bytes(), card, path.parent)
    with atomic(path) as file:
        file.write(data)
    written = models.read_card(path)
    assert written is not None
    return written
