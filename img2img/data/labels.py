"""Label maps: pictures in which each colour stands for a class."""

import os
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import numpy as np
from numpy.typing import NDArray

from img2img.errors import DataError, PictureError

Pixels = NDArray[np.uint8]

MAX_CLASSES = 256
"""Largest number of classes in a label map: the capacity of a palette PNG."""

MAX_COLOURS = 64
"""Pictures may be label maps if they have at most this many colours together. Antialiasing alone soon makes more."""

MIN_INTERIOR = 0.05
"""Smallest share of interior pixels in a class. An interior pixel is surrounded by pixels of its own colour.

Thin classes in street scenes (poles) have 0.2; the in-between colours of an antialiased drawing have about 0.
"""


class Colours:
    """Counts the colours of pictures, until there are more than `most`."""

    def __init__(self, most: int) -> None:
        self.most = most
        self.seen: dict[int, NDArray[np.int64]] = {}
        """Colour code to numbers of pixels and of interior pixels (all four neighbours have the same colour)."""

    @property
    def too_many(self) -> bool:
        return len(self.seen) > self.most

    def add(self, picture: Pixels) -> None:
        """Count the colours of `picture`, uint8 RGB `[H, W, 3]`."""
        code = colour_codes(picture)
        same = np.ones(code.shape, bool)
        for near, far in ((np.s_[:-1], np.s_[1:]), (np.s_[:, :-1], np.s_[:, 1:])):
            equal = code[near] == code[far]
            same[near] &= equal
            same[far] &= equal
        # Counts runs of one colour along the rows, because areas have few runs.
        flat = code.ravel()
        starts = np.concatenate([[0], np.flatnonzero(flat[1:] != flat[:-1]) + 1])
        found, place = np.unique(flat[starts], return_inverse=True)
        pixels = np.bincount(place, weights=np.diff(starts, append=flat.size))
        inside = np.bincount(place, weights=np.add.reduceat(same.ravel(), starts, dtype=np.int64))
        for colour, *counts in zip(found.tolist(), pixels, inside, strict=True):
            self.seen[colour] = self.seen.get(colour, np.zeros(2, np.int64)) + np.array(counts, np.int64)
            if self.too_many:
                return

    @property
    def flat(self) -> bool:
        """Whether the pictures consist of flat areas: at least two colours, three quarters of which fill areas."""
        shares = np.array([inside / pixels for pixels, inside in self.seen.values()])
        return len(shares) >= 2 and not self.too_many and bool((shares >= MIN_INTERIOR).mean() >= 0.75)

    @property
    def palette(self) -> Pixels:
        """The sorted colours, uint8 `[K, 3]`. Class k is the colour `palette[k]`."""
        found = np.array(sorted(self.seen))
        return np.stack([found >> 16, found >> 8 & 255, found & 255], axis=1).astype(np.uint8)


def colour_codes(picture: Pixels) -> NDArray[np.signedinteger[Any]]:
    """Convert uint8 RGB `[..., 3]` to one number per pixel, 0xRRGGBB."""
    red, green, blue = (picture[..., channel].astype(np.int32) for channel in range(3))
    return red << 16 | green << 8 | blue


def count_colours(count: int, read: Callable[[int], Pixels], *, most: int) -> Colours:
    """Count the colours of `read(0)` to `read(count - 1)`, in threads. Stops reading when there are more than `most`.

    Skips pictures that cannot be read; reading them for training reports them.
    """
    found = Colours(most)

    def read_or_skip(place: int) -> Pixels | None:
        try:
            return read(place)
        except (PictureError, DataError):
            return None

    workers = min(os.cpu_count() or 1, 16)
    with ThreadPoolExecutor(workers) as pool:
        for start in range(0, count, 2 * workers):
            for picture in pool.map(read_or_skip, range(start, min(start + 2 * workers, count))):
                if picture is not None and not found.too_many:
                    found.add(picture)
            if found.too_many:
                break
    return found


def to_classes(picture: Pixels, palette: Pixels, *, name: str) -> Pixels:
    """Return the class of every pixel of a label map: uint8 RGB `[H, W, 3]` to uint8 `[H, W, 1]`.

    Raises:
        DataError: a colour is not in `palette`; the message starts with `name`.
    """
    known, code = colour_codes(palette), colour_codes(picture)
    place = np.minimum(np.searchsorted(known, code), len(known) - 1)
    if not np.array_equal(known[place], code):
        strange = tuple(picture[known[place] != code][0].tolist())
        raise DataError(f"{name}: the colour {strange} is not one of the {len(known)} classes of the label maps")
    return place.astype(np.uint8)[..., None]


def paint(classes: Pixels, palette: Pixels) -> Pixels:
    """Convert class numbers `[H, W, 1]` to colours `[H, W, 3]`."""
    return palette[classes[..., 0]]
