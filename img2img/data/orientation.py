"""Finds pairs in which EXIF turns only one of the two pictures, so that they no longer fit."""

from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path
from typing import NamedTuple

from PIL import Image

from img2img.data.pairs import Pair
from img2img.runtime.image import pillow
from img2img.runtime.image.exif import ORIENTATION
from img2img.runtime.image.tiff_writing import HEIGHT, WIDTH
from img2img.text import count_of

TOLERANCE = 0.02
"""Relative difference between the shapes of two pictures that count as equal."""


class Header(NamedTuple):
    """Width and height as stored, and the EXIF orientation; 1 = upright."""

    size: tuple[int, int]
    orientation: int


def turned_apart(pairs: Sequence[Pair]) -> list[str]:
    """Return the files of pairs with different EXIF orientations, although both are stored in the same shape.

    Reading turns each picture upright. If a program has dropped the EXIF of one of two equal files, only the other
    one turns.
    """
    found = []
    for pair in pairs:
        if pair.input.path == pair.target.path:
            continue
        a, b = _header(pair.input.path), _header(pair.target.path)
        if a is None or b is None or a.orientation == b.orientation:
            continue
        if abs(a.size[0] * b.size[1] / (a.size[1] * b.size[0]) - 1) <= TOLERANCE:
            found.append(str(pair.input.path if a.orientation != 1 else pair.target.path))
    return found


def explain(count: int) -> str:
    """The fault of `count` pairs, in words."""
    return (
        f"{count_of(count, 'pair')} with an EXIF orientation on one side only, so the two pictures do not fit; "
        "turn the pixels of both alike and remove the tag"
    )


def _header(path: Path) -> Header | None:
    """None if the file cannot be read, which decoding reports."""
    with pillow.quiet(), suppress(*pillow.DECODER_ERRORS, Image.DecompressionBombError), Image.open(path) as image:
        size, orientation = image.size, int(image.getexif().get(ORIENTATION, 1))
        if tags := getattr(image, "tag_v2", None):  # Pillow swaps the sides of a turned TIFF
            size, orientation = (int(tags[WIDTH]), int(tags[HEIGHT])), int(tags.get(ORIENTATION, 1))
        return Header(size, orientation if 2 <= orientation <= 8 else 1) if all(size) else None
    return None
