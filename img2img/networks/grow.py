"""Grows a trained compact network into a larger one that computes the same (Net2Net, Chen et al. 2016, adapted).

Net2Net copies old channels into new ones. Here new channels get fresh weights, but the weights from new channels to old
ones are 0, so that the new channels have no effect yet. Training changes these zeros first. This way no two channels
start out equal.
"""

import math
from collections.abc import Mapping
from dataclasses import dataclass

import torch
from torch import Tensor

from img2img.errors import CheckpointError

State = Mapping[str, Tensor]
"""Weights by key in the layout of `Compact`: `body.N.weight|bias`, convolutions and PReLUs alternating."""

NEW_LAYER_SCALE = 0.1
"""Factor applied to the random weights of an inserted layer."""


@dataclass(frozen=True)
class Size:
    """The size of a compact network. `outputs` counts the channels before the pixel shuffle."""

    features: int
    convs: int
    channels: int
    outputs: int

    @property
    def scale(self) -> int:
        return math.isqrt(self.outputs // max(self.channels, 1))

    def shapes(self) -> dict[str, tuple[int, ...]]:
        """Return the shape of every weight by key."""
        shapes: dict[str, tuple[int, ...]] = {}
        for layer in range(self.convs + 2):
            inputs = self.features if layer else self.channels
            outputs = self.outputs if layer == self.convs + 1 else self.features
            shapes |= {f"body.{2 * layer}.weight": (outputs, inputs, 3, 3), f"body.{2 * layer}.bias": (outputs,)}
            if layer <= self.convs:
                shapes[f"body.{2 * layer + 1}.weight"] = (self.features,)
        return shapes


def size_of(state: State) -> Size | None:
    """Return the size of the compact network that `state` belongs to, or None for another kind of network."""
    convs = sum(key.endswith(".bias") for key in state) - 2
    first, last = state.get("body.0.weight"), state.get(f"body.{2 * convs + 2}.weight")
    if convs < 0 or first is None or last is None or first.ndim != 4 or last.ndim != 4:
        return None
    found = Size(first.shape[0], convs, first.shape[1], last.shape[0])
    return found if {key: tuple(value.shape) for key, value in state.items()} == found.shapes() else None


@torch.no_grad()
def grow_weights(small: State, fresh: State) -> tuple[dict[str, Tensor], str]:
    """Return weights that make the network of `fresh` compute what that of `small` does, and how it grew.

    Old layers are spread evenly. Old channels keep their weights. New channels keep the weights of `fresh` that lead to
    them; the weights from them to old channels become 0. Each new layer is the identity on old channels, followed by a
    slope of 1.

    The description of the growth is like "grows from 48 to 64 features", and empty if both have the same size.

    Args:
        small: weights of a trained `Compact`.
        fresh: weights of a newly initialised one that is no smaller and has the same scale and picture channels.

    Raises:
        CheckpointError: `fresh` is smaller, or has another scale or other picture channels.
    """
    old, new = size_of(small), size_of(fresh)
    assert old is not None and new is not None
    if (old.channels, old.outputs) != (new.channels, new.outputs):
        raise CheckpointError(
            f"it upscales pictures with {old.channels} channels x{old.scale}, "
            f"this network those with {new.channels} channels x{new.scale}"
        )
    if old.features > new.features or old.convs > new.convs:
        raise CheckpointError(
            f"it has {old.features} features and {old.convs} convolutions, "
            f"this network {new.features} and {new.convs}; a network can grow but not shrink"
        )
    sources = {0: 0, new.convs + 1: old.convs + 1}
    for place in range(old.convs):
        sources[1 + round(place * (new.convs - 1) / max(old.convs - 1, 1))] = 1 + place
    weights = {key: value.clone() for key, value in fresh.items()}
    kept = torch.arange(old.features)
    for layer in range(new.convs + 2):
        weight, bias = weights[f"body.{2 * layer}.weight"], weights[f"body.{2 * layer}.bias"]
        slope = weights.get(f"body.{2 * layer + 1}.weight")  # None after the last convolution
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
            weight.mul_(NEW_LAYER_SCALE)
            weight[: old.features] = 0
            weight[kept, kept, 1, 1] = 1
            assert slope is not None
            slope[: old.features] = 1
    return weights, describe(features=(old.features, new.features), convolutions=(old.convs, new.convs))


def describe(**counts: tuple[int, int]) -> str:
    """Say how a network grew, or "" if it did not. `counts`: what is counted -> the old and the new number."""
    grew = [f"from {old} to {new} {what}" for what, (old, new) in counts.items() if new > old]
    return f"grows {' and '.join(grew)}" if grew else ""
