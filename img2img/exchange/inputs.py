"""The inputs of a model file, as its card describes them (docs/model-file.md), filled with random values."""

import math

import numpy as np
from numpy.typing import NDArray

from img2img.runtime.network.card import Card

Inputs = dict[str, NDArray[np.float32]]
"""Input name -> values."""


def names(card: Card) -> list[str]:
    """The names of the inputs of a model with this card, in order."""
    found = ["image"]
    if card.task == "inpaint":
        found.append("mask")
    if card.domains:
        found.append("domain")
    return found


def random(card: Card, batch: int, height: int, width: int, rng: np.random.Generator) -> Inputs:
    """Noise as the image, a rectangular hole in the middle as the mask, and a random domain for each picture."""
    inputs = {"image": rng.random((batch, 3, height, width), dtype=np.float32)}
    if "mask" in names(card):
        mask = np.zeros((batch, 1, height, width), np.float32)
        mask[:, :, height // 4 : height // 4 + max(height // 2, 1), width // 3 : width // 3 + max(width // 3, 1)] = 1
        inputs["mask"] = mask
    if "domain" in names(card):
        inputs["domain"] = np.eye(len(card.domains), dtype=np.float32)[rng.integers(len(card.domains), size=batch)]
    return inputs


def smallest_side(card: Card, at_least: int) -> int:
    """The smallest side of at least `at_least` pixels that a model with this card accepts."""
    return math.ceil(max(at_least, card.minimum) / card.multiple) * card.multiple
