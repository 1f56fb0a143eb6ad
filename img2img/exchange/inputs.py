"""The inputs of a model file, as its card describes them (docs/model-file.md), filled with random values."""

import math

import numpy as np
from numpy.typing import NDArray

from img2img.runtime.network.card import Card
from img2img.runtime.network.grid import round_up

Inputs = dict[str, NDArray[np.float32]]
"""Input name -> values."""


def names(card: Card) -> list[str]:
    """The names of the inputs of a model with this card, in order."""
    return list(card.inputs)


def random(
    card: Card,
    batch: int,
    height: int,
    width: int,
    rng: np.random.Generator,
    *,
    reference: tuple[int, int] | None = None,
) -> Inputs:
    """Noise as the image, a rectangular hole in the middle as the mask, and for each picture a random domain, noise as
    the reference and a random latent code.

    Args:
        reference: height and width of the reference; None: sides of its own that depend on those of the image.
    """
    inputs = {"image": rng.random((batch, 3, height, width), dtype=np.float32)}
    wanted = names(card)
    if "mask" in wanted:
        mask = np.zeros((batch, 1, height, width), np.float32)
        mask[:, :, height // 4 : height // 4 + max(height // 2, 1), width // 3 : width // 3 + max(width // 3, 1)] = 1
        inputs["mask"] = mask
    if "domain" in wanted:
        inputs["domain"] = np.eye(len(card.domains), dtype=np.float32)[rng.integers(len(card.domains), size=batch)]
    if "reference" in wanted:
        sides = reference or (reference_side(card, width // 2 + 1), reference_side(card, height + 3))
        inputs["reference"] = rng.random((batch, 3, *sides), dtype=np.float32)
    if card.latent is not None:
        inputs["latent"] = rng.standard_normal((batch, card.latent["length"]), np.float32)
    return inputs


def smallest_side(card: Card, at_least: int) -> int:
    """The smallest side of at least `at_least` pixels that a model with this card accepts."""
    return math.ceil(max(at_least, card.minimum) / card.multiple) * card.multiple


def reference_side(card: Card, at_least: int) -> int:
    """The smallest side of at least `at_least` pixels that a model with this card accepts for its reference."""
    assert card.reference is not None
    return round_up(max(at_least, card.reference["minimum"]), card.reference["multiple"])
