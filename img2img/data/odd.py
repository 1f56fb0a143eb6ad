"""What is odd about pictures: things to look at before a training."""

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from img2img.data import facts
from img2img.data.facts import Facts
from img2img.data.pairs import Part

LONG = 2.5
"""From this ratio of the sides on, a picture is far from square."""

BLANK = 4.0
"""Standard deviation of the values, of 255, below which a picture is nearly blank."""


def of_shape(size: tuple[int, int], crop: int) -> list[str]:
    """What is odd about a picture of this width and height, from which crops of `crop` pixels are made."""
    width, height = size
    found = []
    if max(size) >= LONG * max(min(size), 1):
        found.append(f"far from square ({width}x{height})")
    if 2 * min(size) < crop:
        found.append(f"tiny ({width}x{height})")
    return found


def is_blank(pixels: NDArray[np.uint8]) -> bool:
    """Whether a picture `[H, W, C]` has next to no structure."""
    return bool(pixels.astype(np.float32).std(axis=(0, 1)).max(initial=0.0) < BLANK)


def of_files(pictures: Sequence[Facts], crop: int) -> dict[Part, list[str]]:
    """What is odd about each of `pictures`; those that are not odd are left out. `crop`: see `of_shape`."""
    pictures = list({one.part: one for one in pictures}.values())
    found = {one.part: of_shape(one.size, crop) for one in pictures}
    for one in pictures:
        if is_blank(one.thumb):
            found[one.part].append("nearly blank")
    twins: list[tuple[str, Sequence[int]]] = [("equal to", places) for places in facts.identical(pictures)]
    twins += [("nearly equal to", pair) for pair in facts.similar(pictures, [False] * len(pictures))]
    for words, places in twins:
        for place in places[1:]:
            first, other = pictures[places[0]].part, pictures[place].part
            if first.path != other.path:
                found[other].append(f"{words} {first.path.name}")
    return {part: reasons for part, reasons in found.items() if reasons}
