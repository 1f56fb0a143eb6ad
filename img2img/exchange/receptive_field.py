"""The receptive field of a network, which the card stores as `context`: measured, or computed from its layers."""

import copy
import warnings
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Literal

import numpy as np
import torch
from torch import nn

from img2img.exchange import inputs
from img2img.runtime.network.card import Card

LIMIT = 256
"""Larger contexts are not searched for: a tile would be mostly border, so the model runs on whole pictures."""

MAX_MULTIPLE = 32
"""Networks whose sides must be multiples of more than this also run on whole pictures, for the same reason."""

Step = tuple[Literal["conv", "enlarge", "unshuffle"], int]
"""One step of a network for `from_layers`:
("conv", r): convolutions that together look r pixels to each side;
("enlarge", k): nearest-neighbour or pixel-shuffle upsampling by k;
("unshuffle", k): k x k pixels become one pixel with k * k times the channels."""


@torch.no_grad()
def measure(network: nn.Module, card: Card) -> int | None:
    """The number of input pixels around a tile that its output depends on; None if it may be the whole picture.

    Sets one input pixel to NaN. Sums and products pass a NaN on whatever the weights are, so the outputs that become
    NaN are exactly those that can depend on this pixel. Tries every position modulo `card.multiple`, because a
    strided network looks further from some pixels than from others. Runs on narrow strips, one along each side, which
    are cheap at any length.

    Args:
        network: takes the inputs that `card` describes and returns `[N, 3, H * card.scale, W * card.scale]`.

    Raises:
        ValueError: an operator of the network removes the NaN, so nothing can be measured.
    """
    if card.multiple > MAX_MULTIPLE:
        return None
    network = copy.deepcopy(network).cpu().float().eval()
    contexts = []
    with _without_mkldnn():
        for axis in (2, 3):
            context = _measure_along(network, card, axis)
            if context is None:
                return None
            contexts.append(context)
    return max(contexts)


def _measure_along(network: nn.Module, card: Card, axis: int) -> int | None:
    """The context along one axis. Doubles the length of the strip until the context fits inside it."""
    guess = 16
    while guess <= 2 * LIMIT:
        length = inputs.smallest_side(card, 2 * guess + 1) + card.multiple
        contexts = []
        for phase in range(card.multiple):
            context = _measure_at(network, card, axis, length, length // 2 + phase)
            if context is None:
                break
            contexts.append(context)
        else:
            return max(contexts)
        guess *= 2
    return None


def _measure_at(network: nn.Module, card: Card, axis: int, length: int, position: int) -> int | None:
    """The distance that a NaN at `position` spreads along `axis`; None if it reaches the end of the strip."""
    width = inputs.smallest_side(card, 4)
    size = (length, width) if axis == 2 else (width, length)
    given = inputs.random(card, 1, *size, np.random.default_rng(0))
    image = torch.from_numpy(given.pop("image"))
    image.select(axis, position)[..., width // 2] = float("nan")
    result = network(image, *map(torch.from_numpy, given.values()))
    affected = result.isnan()[0].any(0).any(3 - axis).nonzero() // card.scale
    if not len(affected):
        raise ValueError("the network removes NaN values, so its context cannot be measured")
    first, last = int(affected.min()), int(affected.max())
    if first == 0 or last == length - 1:
        return None
    return max(position - first, last - position)


@contextmanager
def _without_mkldnn() -> Iterator[None]:
    """Turn MKLDNN off: its Winograd kernels spread NaN over whole blocks, so the context would come out too large."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # torch warns about TF32 on Intel GPUs here
        with torch.backends.mkldnn.flags(enabled=False):
            yield


def from_layers(steps: Sequence[Step], scale: int) -> int:
    """The context of a network of plain layers. Exact, and fast where measuring a deep network takes minutes.

    Follows every output pixel back to the input pixels that it depends on. It does so for every position within one
    period, because a convolution after an upsampling looks further from some positions than from others.

    Args:
        steps: from the input to the result, along the longest path through the network.
        scale: sides of the result / sides of the input; must agree with `steps`.
    """
    period = 1  # positions repeat after the product of all upsampling and unshuffling factors
    for kind, value in steps:
        if kind != "conv":
            period *= value
    context = 0
    for output in range(period * scale):
        first = last = output
        for kind, value in reversed(steps):
            if kind == "conv":
                first, last = first - value, last + value
            elif kind == "enlarge":
                first, last = first // value, last // value
            else:
                first, last = first * value, last * value + value - 1
        centre = output // scale
        context = max(context, centre - first, last - centre)
    return context
