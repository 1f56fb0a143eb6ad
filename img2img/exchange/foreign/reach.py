"""How far a network of plain layers looks, by counting: exact, where measuring a deep one takes minutes."""

from collections.abc import Sequence
from typing import Literal

Step = tuple[Literal["conv", "enlarge", "unshuffle"], int]
"""("conv", r): convolutions that look r pixels to each side in all; ("enlarge", k): nearest or pixel shuffle by k;
("unshuffle", k): k x k pixels become one of k * k channels."""


def reach(steps: Sequence[Step], scale: int) -> int:
    """Input pixels around a place that its output depends on (the card's `context`).

    Args:
        steps: from the picture to the result, of the longest way through the network.
        scale: sides of the result / sides of the picture; what the steps amount to.

    The places of the result that one stretch of pixels is behind are followed back; every phase is tried, for a
    convolution after an enlargement looks farther from some places than from others.
    """
    farthest = 0
    # A period of all enlargements and reductions, so that no phase is left out.
    period = 1
    for kind, value in steps:
        period *= value if kind != "conv" else 1
    for place in range(period * scale):
        first = last = place
        for kind, value in reversed(steps):
            if kind == "conv":
                first, last = first - value, last + value
            elif kind == "enlarge":
                first, last = first // value, last // value
            else:
                first, last = first * value, last * value + value - 1
        own = place // scale
        farthest = max(farthest, own - first, last - own)
    return farthest
