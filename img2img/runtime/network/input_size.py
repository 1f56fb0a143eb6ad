"""Chooses the size at which a picture enters a network, for tasks that may scale the picture first."""

import math
from collections.abc import Callable
from typing import Any, Literal

import numpy.typing as npt

from img2img.errors import UsageError
from img2img.runtime.network.card import Card
from img2img.runtime.network.inference_errors import OutOfMemory

Pixels = npt.NDArray[Any]

Size = int | Literal["keep", "fit"]
"""A side in pixels, "keep" or "fit". Both use the picture's own size, but "keep" fails if memory does not suffice.
"fit" then shrinks the picture, and it scales pictures to the training size that are far from it
(see `near_training_size`), and large ones to `MOST_PIXELS` if the network `keeps_luminance`."""

MOST_SIDE = 2048
"""Largest side in pixels of windows with holes for networks that reduce pictures themselves (the card's `resizes`)."""

OWN_WORK = 1024 * 1024
"""Pixels up to which such a network takes the same time and memory, because it works at its own size."""

_SMALLEST = 64  # pixels; smaller pictures show nothing useful
_MAX_RATIO = 2  # a network trained on whole pictures works up to this factor from its training size
_STEP = math.sqrt(0.5)  # factor on the sides that halves the pixels, and so roughly the memory
MOST_PIXELS = 1 << 22
"""Most pixels that a network sees with "fit", if its results keep the luminance of the picture. More would take memory
and add nothing: the eye sees colours less sharply than luminance."""

_ADVICE = "run it at a smaller size (--size 512, or --size fit); the result keeps the picture's size"


def check_size(size: Size) -> None:
    """Raise UsageError unless `size` is "keep", "fit" or a number of pixels, at least 1."""
    if size not in ("keep", "fit") and not (isinstance(size, int) and size >= 1):
        raise UsageError(f"size must be keep, fit, or a side in pixels such as 256, not {size}")


def scaled(size: tuple[int, int], factor: float) -> tuple[int, int]:
    """Multiply (width, height) by `factor`; the sides are rounded and at least 1."""
    width, height = size
    return max(1, math.floor(width * factor + 0.5)), max(1, math.floor(height * factor + 0.5))


def near_training_size(size: tuple[int, int], side: int | None, *, note: Callable[[str], None]) -> tuple[int, int]:
    """Scale `size` to the training size if it is less than half or more than twice as large; otherwise return it.

    side: shorter side of the training pictures; None: unknown, `size` is returned.
    note: receives one line if the size changes.
    """
    shorter = min(size)
    if side is None or side / _MAX_RATIO <= shorter <= side * _MAX_RATIO:
        return size
    note(f"run at the training size, {side} px, and resized back to {shorter} px (--size keep runs it unscaled)")
    return scaled(size, side / shorter)


def keeps_luminance(card: Card) -> bool:
    """Whether results have the luminance of the picture, so that a smaller copy is enough to find the colours."""
    return card.extra.get("keeps") == "luminance"


def at_most(size: tuple[int, int], pixels: int) -> tuple[int, int]:
    """Scale `size` down to at most about `pixels` pixels."""
    return scaled(size, min(1.0, math.sqrt(pixels / math.prod(size))))


def run_until_it_fits(
    run: Callable[[tuple[int, int]], Pixels], size: tuple[int, int], *, shrink: bool, note: Callable[[str], None]
) -> Pixels:
    """Call `run(size)`. If memory runs out and `shrink` allows it, repeat with half as many pixels until it fits.

    Raises:
        OutOfMemory: the message contains advice.
    """
    first = size
    while True:
        try:
            result = run(size)
        except OutOfMemory as error:
            smaller = scaled(size, _STEP)
            if not shrink or min(smaller) < _SMALLEST:
                raise OutOfMemory(f"{error}: {'' if shrink else _ADVICE}".removesuffix(": ")) from error
        else:
            if size != first:
                used, wanted = (f"{width}x{height}" for width, height in (size, first))
                note(f"out of memory at {wanted}; run at {used} instead, and the result enlarged")
            return result
        size = smaller
