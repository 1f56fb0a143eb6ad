"""Label maps: pictures whose colours are names of things."""

import os
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import numpy as np
from numpy.typing import NDArray

from img2img.errors import DataError, PictureError

Pixels = NDArray[np.uint8]

MOST = 256
"""Classes that a label map can have: what a palette PNG can hold."""

USUAL = 64
"""Pictures that together have at most so many colours may be label maps: antialiasing alone makes more, in time."""

INSIDE = 0.05
"""Share of a class's pixels that are surrounded by their own kind. Of the thin classes of street scenes (poles) it is
0.2; of the in-between colours of an antialiased drawing, about 0."""


class Colours:
    """The colours of pictures that are shown to it, until there are more than `most`."""

    def __init__(self, most: int) -> None:
        self.most = most
        self.seen: dict[int, NDArray[np.int64]] = {}
        """Colour code to pixels and pixels inside (all four neighbours have the same colour)."""

    @property
    def too_many(self) -> bool:
        return len(self.seen) > self.most

    def add(self, picture: Pixels) -> None:
        """Count the colours of `picture`, uint8 RGB `[H, W, 3]`."""
        code = codes(picture)
        same = np.ones(code.shape, bool)
        for near, far in ((np.s_[:-1], np.s_[1:]), (np.s_[:, :-1], np.s_[:, 1:])):
            equal = code[near] == code[far]
            same[near] &= equal
            same[far] &= equal
        # By runs of one colour along the rows: areas have few of them.
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
        """Whether these are areas of one colour each: at least two colours, three quarters of them fill areas."""
        shares = np.array([inside / pixels for pixels, inside in self.seen.values()])
        return len(shares) >= 2 and not self.too_many and bool((shares >= INSIDE).mean() >= 0.75)

    @property
    def palette(self) -> Pixels:
        """The colours sorted: uint8 `[K, 3]`. Class k is the colour `palette[k]`."""
        found = np.array(sorted(self.seen))
        return np.stack([found >> 16, found >> 8 & 255, found & 255], axis=1).astype(np.uint8)


def codes(picture: Pixels) -> NDArray[np.signedinteger[Any]]:
    """One number a pixel, 0xRRGGBB, of uint8 RGB `[..., 3]`."""
    red, green, blue = (picture[..., channel].astype(np.int32) for channel in range(3))
    return red << 16 | green << 8 | blue


def colours(count: int, read: Callable[[int], Pixels], *, most: int) -> Colours:
    """The colours of `read(0)` to `read(count - 1)`, in threads; no more is read once there are more than `most`.

    Pictures that cannot be read are passed over: who reads them for use reports them.
    """
    found = Colours(most)

    def one(place: int) -> Pixels | None:
        try:
            return read(place)
        except (PictureError, DataError):
            return None

    workers = min(os.cpu_count() or 1, 16)
    with ThreadPoolExecutor(workers) as pool:
        for start in range(0, count, 2 * workers):
            for picture in pool.map(one, range(start, min(start + 2 * workers, count))):
                if picture is not None and not found.too_many:
                    found.add(picture)
            if found.too_many:
                break
    return found


def index(picture: Pixels, palette: Pixels, *, name: str) -> Pixels:
    """The class of every pixel of a label map: uint8 RGB `[H, W, 3]` to uint8 `[H, W, 1]`.

    Raises:
        DataError: a colour is not in `palette`; `name` says in which picture.
    """
    known, code = codes(palette), codes(picture)
    place = np.minimum(np.searchsorted(known, code), len(known) - 1)
    if not np.array_equal(known[place], code):
        strange = tuple(picture[known[place] != code][0].tolist())
        raise DataError(f"{name}: the colour {strange} is none of the {len(known)} classes of the label maps")
    return place.astype(np.uint8)[..., None]


def paint(classes: Pixels, palette: Pixels) -> Pixels:
    """Class numbers `[H, W, 1]` as colours `[H, W, 3]`."""
    return palette[classes[..., 0]]
