"""Grows a trained residual network into a larger one that computes the same, as `grow` does for compact ones."""

from collections.abc import Mapping
from dataclasses import dataclass

import torch
from torch import Tensor

from img2img.errors import CheckpointError
from img2img.networks.grow import describe

State = Mapping[str, Tensor]
"""Weights by key in the layout of `Residual`."""


@dataclass(frozen=True)
class Size:
    """The size of a residual network."""

    features: int
    blocks: int
    convs: int


def size_of(state: State) -> Size | None:
    """Return the size of the residual network that `state` belongs to, or None for another kind of network."""
    first, combine = state.get("first.weight"), state.get("combine.weight")
    if first is None or combine is None or first.ndim != 4 or combine.ndim != 4:
        return None
    kernels = [key for key in state if key.startswith("blocks.") and key.endswith(".weight") and state[key].ndim == 4]
    blocks = len({key.split(".")[1] for key in kernels})
    found = Size(len(first), blocks, len(kernels) // max(blocks, 1))
    complete = blocks and combine.shape[:2] == (found.features, blocks * found.features)
    needed = {f"{name}.{part}" for name in (*_names(found), "first", "combine", "last") for part in ("weight", "bias")}
    return found if complete and needed == state.keys() else None


@torch.no_grad()
def grow_weights(small: State, fresh: State) -> tuple[dict[str, Tensor], str] | None:
    """Return weights that make the network of `fresh` compute what that of `small` does, and how it grew.

    Old channels and blocks keep their weights. New channels keep the weights of `fresh` that lead to them; the weights
    from them to old channels are 0. New blocks follow the old ones and add nothing to old channels yet.

    Args:
        small: weights of a trained `Residual` without weights of activations.
        fresh: weights of a newly initialised one for the same scale and channels.

    Returns:
        None if one of them is another kind of network, if both have the same size, or if they see another number of
        channels.

    Raises:
        CheckpointError: `fresh` is smaller, or its blocks have another number of convolutions.
    """
    old, new = size_of(small), size_of(fresh)
    if old is None or new is None or old == new or small["first.weight"].shape[1] != fresh["first.weight"].shape[1]:
        return None
    if old.convs != new.convs or old.features > new.features or old.blocks > new.blocks:
        raise CheckpointError(
            f"it has {old.features} features and {old.blocks} blocks of {old.convs} convolutions, this network "
            f"{new.features} and {new.blocks} of {new.convs}; a network can get more features and blocks, but neither "
            "fewer nor others"
        )
    weights = {key: value.clone() for key, value in fresh.items()}
    kept = old.features
    for name in ("first", *_names(new)):
        weight, bias = weights[f"{name}.weight"], weights[f"{name}.bias"]
        bias.zero_()
        if f"{name}.weight" in small:
            kernel = small[f"{name}.weight"]
            weight[:kept] = 0
            weight[:kept, : kernel.shape[1]] = kernel
            bias[:kept] = small[f"{name}.bias"]
        elif name.endswith(f".{2 * new.convs - 1}"):
            weight[:kept] = 0
    combine, bias = weights["combine.weight"], weights["combine.bias"]
    combine[:kept] = 0
    bias.zero_()
    bias[:kept] = small["combine.bias"]
    for block in range(old.blocks):
        columns = small["combine.weight"][:, block * kept : (block + 1) * kept]
        combine[:kept, block * new.features : block * new.features + kept] = columns
    weights["last.weight"].zero_()
    weights["last.weight"][:, :kept] = small["last.weight"]
    weights["last.bias"] = small["last.bias"].clone()
    return weights, describe(features=(old.features, new.features), blocks=(old.blocks, new.blocks))


def _names(size: Size) -> list[str]:
    """Return the names of the convolutions in blocks. An activation precedes each of them."""
    return [f"blocks.{block}.{2 * conv + 1}" for block in range(size.blocks) for conv in range(size.convs)]
