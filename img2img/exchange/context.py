"""How far a network looks: measured with NaN, which spreads to exactly what depends on it."""

import copy
import warnings
from collections.abc import Iterator
from contextlib import contextmanager

import numpy as np
import torch
from torch import nn

from img2img.exchange import inputs
from img2img.runtime.network.card import Card

LIMIT = 256
"""Contexts beyond this are not searched for: a tile would be mostly border, so the picture is run whole."""

COARSEST = 32
"""Networks whose sides must be multiples of more than this are run whole, for the same reason."""


@torch.no_grad()
def measure(network: nn.Module, card: Card) -> int | None:
    """How many input pixels around a tile its output depends on, or None where it may be the whole picture.

    One input pixel is set to NaN. Sums and products hand a NaN on whatever the weights are, so the outputs that are
    NaN are those that can depend on the pixel. Every phase of `card.multiple` is tried, since strided networks look
    farther from some pixels than from others. Strips are run, one along each side, which cost little at any length.

    Args:
        network: takes the inputs that `card` promises, and returns `[N, 3, H * card.scale, W * card.scale]`.

    Raises:
        ValueError: the NaN does not reach even the pixel's own place (an operator swallows it), so nothing is known.
    """
    if card.multiple > COARSEST:
        return None
    network = copy.deepcopy(network).cpu().float().eval()
    with _plain_kernels():
        reaches = [_along(network, card, axis) for axis in (2, 3)]
    return None if None in reaches else max(r for r in reaches if r is not None)


def _along(network: nn.Module, card: Card, axis: int) -> int | None:
    multiple = card.multiple
    reach = 16
    while True:
        long = -(-max(2 * reach + 1, card.minimum) // multiple) * multiple + multiple
        short = -(-max(card.minimum, 4) // multiple) * multiple
        found = []
        for phase in range(multiple):
            found.append(_reach(network, card, axis, long, short, long // 2 + phase))
            if found[-1] is None:
                break
        if None not in found:
            return max(r for r in found if r is not None)
        if reach > LIMIT:
            return None
        reach *= 2


@contextmanager
def _plain_kernels() -> Iterator[None]:
    """Without MKLDNN: its Winograd kernels spread NaN over whole blocks and would overstate the context."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # torch speaks of TF32 on Intel GPUs here
        with torch.backends.mkldnn.flags(enabled=False):
            yield


def _reach(network: nn.Module, card: Card, axis: int, long: int, short: int, place: int) -> int | None:
    height, width = (long, short) if axis == 2 else (short, long)
    given = inputs.random(card, 1, height, width, np.random.default_rng(0))
    image = torch.from_numpy(given.pop("image"))
    image.select(axis, place)[..., short // 2] = float("nan")
    result = network(image, *map(torch.from_numpy, given.values()))
    touched = result.isnan()[0].any(0).any(3 - axis).nonzero() // card.scale
    if not len(touched):
        raise ValueError("the network swallows NaN: its context cannot be measured this way")
    first, last = int(touched.min()), int(touched.max())
    if first == 0 or last == long - 1:
        return None  # it may reach farther than this strip
    return max(place - first, last - place)
