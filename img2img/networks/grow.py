"""A trained compact network becomes a larger one that computes the same (Net2Net, Chen et al. 2016, adapted).

In Net2Net new channels are copies of old ones. Here they are fresh, and nobody listens to them yet: the weights that
lead from them to old channels are 0, and training opens these first. So no two channels begin as the same one.
"""

import math
from collections.abc import Mapping
from dataclasses import dataclass

import torch
from torch import Tensor

from img2img.errors import CheckpointError

State = Mapping[str, Tensor]
"""Weights by key in the layout of `Compact`: `body.N.weight|bias`, convolutions and PReLUs in turn."""

QUIET = 0.1
"""What the random weights of an inserted layer are multiplied with."""


@dataclass(frozen=True)
class Size:
    """Of a compact network; `outputs` are the channels before the pixel shuffle."""

    features: int
    convs: int
    channels: int
    outputs: int

    @property
    def scale(self) -> int:
        return math.isqrt(self.outputs // max(self.channels, 1))

    def shapes(self) -> dict[str, tuple[int, ...]]:
        """Of every weight, by its key."""
        shapes: dict[str, tuple[int, ...]] = {}
        for layer in range(self.convs + 2):
            inputs = self.features if layer else self.channels
            outputs = self.outputs if layer == self.convs + 1 else self.features
            shapes |= {f"body.{2 * layer}.weight": (outputs, inputs, 3, 3), f"body.{2 * layer}.bias": (outputs,)}
            if layer <= self.convs:
                shapes[f"body.{2 * layer + 1}.weight"] = (self.features,)
        return shapes


def size(state: State) -> Size | None:
    """The size of the compact network that `state` is of; None: it is another network's."""
    convs = sum(key.endswith(".bias") for key in state) - 2
    first, last = state.get("body.0.weight"), state.get(f"body.{2 * convs + 2}.weight")
    if convs < 0 or first is None or last is None or first.ndim != 4 or last.ndim != 4:
        return None
    found = Size(first.shape[0], convs, first.shape[1], last.shape[0])
    return found if {key: tuple(value.shape) for key, value in state.items()} == found.shapes() else None


@torch.no_grad()
def grown(small: State, fresh: State) -> tuple[dict[str, Tensor], str]:
    """The weights with which the network of `fresh` computes what that of `small` does, and how it grew, in words.

    Old layers are spread evenly. Old channels keep their weights; new channels keep the weights of `fresh` that lead to
    them, and get 0 for those that lead from them to old channels. Between old layers lie new ones: the identity on
    old channels, with a slope of 1 behind it.

    Args:
        small: weights of a trained `Compact`.
        fresh: those of a newly initialised one, of the same scale and picture channels and no smaller.

    The words are like "grows from 48 to 64 features", and empty where both are of one size.

    Raises:
        CheckpointError: `fresh` is smaller, or for another scale or other pictures.
    """
    old, new = size(small), size(fresh)
    assert old is not None and new is not None
    if (old.channels, old.outputs) != (new.channels, new.outputs):
        raise CheckpointError(
            f"its pictures have {old.channels} channels and are enlarged x{old.scale}, "
            f"here {new.channels} channels and x{new.scale}"
        )
    if old.features > new.features or old.convs > new.convs:
        raise CheckpointError(
            f"it has {old.features} features and {old.convs} convolutions, here are {new.features} and {new.convs}; "
            "a network grows and does not shrink"
        )
    sources = {0: 0, new.convs + 1: old.convs + 1}
    for place in range(old.convs):
        sources[1 + round(place * (new.convs - 1) / max(old.convs - 1, 1))] = 1 + place
    weights = {key: value.clone() for key, value in fresh.items()}
    kept = torch.arange(old.features)
    for layer in range(new.convs + 2):
        weight, bias = weights[f"body.{2 * layer}.weight"], weights[f"body.{2 * layer}.bias"]
        slope = weights.get(f"body.{2 * layer + 1}.weight")  # the last convolution has none
        bias.zero_()
        if layer in sources:
            source = sources[layer]
            kernel = small[f"body.{2 * source}.weight"]
            weight[: len(kernel)] = 0
            weight[: len(kernel), : kernel.shape[1]] = kernel
            bias[: len(kernel)] = small[f"body.{2 * source}.bias"]
            if slope is not None:
                slope[: old.features] = small[f"body.{2 * source + 1}.weight"]
        else:
            weight.mul_(QUIET)
            weight[: old.features] = 0
            weight[kept, kept, 1, 1] = 1
            assert slope is not None
            slope[: old.features] = 1
    return weights, _words(old, new)


def _words(old: Size, new: Size) -> str:
    grew = []
    if new.features > old.features:
        grew.append(f"from {old.features} to {new.features} features")
    if new.convs > old.convs:
        grew.append(f"from {old.convs} to {new.convs} convolutions")
    return f"grows {' and '.join(grew)}" if grew else ""
