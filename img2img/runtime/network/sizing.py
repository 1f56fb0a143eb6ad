"""The size at which a network sees a picture, where that need not be the picture's own."""

import math
from collections.abc import Callable
from typing import Any, Literal

import numpy.typing as npt

from img2img.errors import UsageError
from img2img.runtime.network.failures import OutOfMemory

Pixels = npt.NDArray[Any]

Size = int | Literal["keep", "fit"]
"""A side in pixels, or the picture's own size: "keep" fails where memory does not suffice. "fit" goes smaller then, and
takes the size that the network learned from where the picture's own is far from it (see `familiar`)."""

_SMALLEST = 64  # pixels: below this side a picture says nothing any more
_UNLIKE = 2  # times as large: what a network that learned from whole pictures bears
_STEP = math.sqrt(0.5)  # half the pixels, and so about half the memory


def check_size(size: Size) -> None:
    """Raise UsageError where it is neither "keep", "fit", nor a number of pixels from 1 on."""
    if size not in ("keep", "fit") and not (isinstance(size, int) and size >= 1):
        raise UsageError(f"size must be keep, fit, or a side in pixels such as 256, not {size}")


def scaled(size: tuple[int, int], factor: float) -> tuple[int, int]:
    """(width, height) times `factor`, rounded, at least 1."""
    width, height = size
    return max(1, math.floor(width * factor + 0.5)), max(1, math.floor(height * factor + 0.5))


def familiar(size: tuple[int, int], side: int | None, *, note: Callable[[str], None]) -> tuple[int, int]:
    """`size`, or where it is less than half or more than twice that of the pictures that the network learned from,
    whose shorter side was `side` (None: not known), scaled to theirs; then `note` is told."""
    shorter = min(size)
    if side is None or side / _UNLIKE <= shorter <= side * _UNLIKE:
        return size
    note(f"seen at {side} px, as the network learned, and brought back to {shorter} (--size keep: as it is)")
    return scaled(size, side / shorter)


def fitted(
    run: Callable[[tuple[int, int]], Pixels], size: tuple[int, int], *, shrink: bool, note: Callable[[str], None]
) -> Pixels:
    """`run(size)`; where memory runs out, and `shrink` allows it, run again with half as many pixels until it fits.

    Raises:
        OutOfMemory: with advice.
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
                seen, whole = (f"{width}x{height}" for width, height in (size, first))
                note(f"out of memory at {whole}; the network saw it at {seen} and its result was enlarged")
            return result
        size = smaller


_ADVICE = "let the network see it smaller (--size 512, or --size fit; the result keeps the picture's size)"
