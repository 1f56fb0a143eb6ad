"""Change the card of a model file without touching its network."""

import dataclasses
from pathlib import Path
from typing import Any

from img2img.atomic import atomic
from img2img.errors import ModelError
from img2img.runtime.network import card_writing, model_file, models, selftest
from img2img.runtime.network.card import Card


def update_card(path: Path, **changes: Any) -> Card:
    """Write `changes` into the card of the model file `path` and return the new card.

    The network stays the same, byte for byte. A card from an older version also gets the digest and the self-test
    that new files have.

    Raises:
        ModelError: the file has no card or is damaged, or a value is not valid in a card.
    """
    card = models.read_card(path)
    if card is None:
        raise ModelError(f"{path}: has no card to update", path=path)
    model_file.require_safe(path)
    card_writing.require_whole(path, card)  # a new digest would hide any damage
    card = dataclasses.replace(card, **changes)
    if not selftest.fits(card):
        card = dataclasses.replace(card, selftest=selftest.create(path, card))
    data = card_writing.with_card(path.read_bytes(), card, path.parent)
    with atomic(path) as file:
        file.write(data)
    written = models.read_card(path)
    assert written is not None
    return written
