"""The inputs that a card promises (contract 1), filled for trying a network out."""

import numpy as np
from numpy.typing import NDArray

from img2img.runtime.network.card import Card

Inputs = dict[str, NDArray[np.float32]]


def names(card: Card) -> list[str]:
    """The inputs of a model with this card, in order."""
    return ["image", *["mask"] * (card.task == "inpaint"), *["domain"] * bool(card.domains)]


def random(card: Card, batch: int, height: int, width: int, rng: np.random.Generator) -> Inputs:
    """Noise, a rectangular hole in the middle, and one domain for each picture."""
    inputs = {"image": rng.random((batch, 3, height, width), dtype=np.float32)}
    if "mask" in names(card):
        mask = np.zeros((batch, 1, height, width), np.float32)
        mask[:, :, height // 4 : height // 4 + max(height // 2, 1), width // 3 : width // 3 + max(width // 3, 1)] = 1
        inputs["mask"] = mask
    if "domain" in names(card):
        inputs["domain"] = np.eye(len(card.domains), dtype=np.float32)[rng.integers(len(card.domains), size=batch)]
    return inputs
