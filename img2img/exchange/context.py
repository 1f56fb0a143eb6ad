"""How far a network looks: measured with NaN, which spreads to exactly what depends on it."""

import copy
import warnings
from collections.abc import Iterator
from contextlib import contextmanager

import torch
from torch import nn

LIMIT = 256
"""Contexts beyond this are not searched for: a tile would be mostly border, so the picture is run whole."""


@torch.no_grad()
def measure(network: nn.Module, *, scale: int, multiple: int = 1) -> int | None:
    """How many input pixels around a tile its output depends on, or None where it may be the whole picture.

    One input pixel is set to NaN. Sums and products hand a NaN on whatever the weights are, so the outputs that are
    NaN are those that can depend on the pixel. Every phase of `multiple` is tried, since strided networks look
    farther from some pixels than from others.

    Args:
        network: takes `[N, 3, H, W]` and returns `[N, 3, H * scale, W * scale]`.

    Raises:
        ValueError: the NaN does not reach even the pixel's own place (an operator swallows it), so nothing is known.
    """
    network = copy.deepcopy(network).cpu().float().eval()
    with _plain_kernels():
        reach = 16
        while True:
            side = -(-(2 * reach + 1) // multiple) * multiple + multiple
            found = [
                _reach(network, side, y, x, scale)
                for y in range(side // 2, side // 2 + multiple)
                for x in range(side // 2, side // 2 + multiple)
            ]
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


def _reach(network: nn.Module, side: int, y: int, x: int, scale: int) -> int | None:
    image = torch.full((1, 3, side, side), 0.5)
    image[0, :, y, x] = float("nan")
    touched = network(image).isnan()[0].any(0).nonzero() // scale
    if not len(touched):
        raise ValueError("the network swallows NaN: its context cannot be measured this way")
    top, left, bottom, right = (int(edge) for edge in (*touched.amin(0), *touched.amax(0)))
    if top == 0 or left == 0 or bottom == side - 1 or right == side - 1:
        return None  # it may reach farther than this picture
    return max(y - top, bottom - y, x - left, right - x)
