"""Arithmetic on masks: grows holes, measures their depth, and finds the windows to fill them in. True = fill."""

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from PIL import Image

Mask = npt.NDArray[np.bool_]
Floats = npt.NDArray[np.float32]

_CELL = 32  # pixels; holes closer together than this count as one
_MARGIN = 64  # smallest width of the surroundings on each side, in pixels


@dataclass(frozen=True, slots=True)
class Box:
    """Rows [top, bottom) and columns [left, right)."""

    top: int
    left: int
    bottom: int
    right: int

    @property
    def size(self) -> tuple[int, int]:
        """Width and height."""
        return self.right - self.left, self.bottom - self.top

    @property
    def place(self) -> tuple[slice, slice]:
        return slice(self.top, self.bottom), slice(self.left, self.right)

    def moved(self, down: int, over: int) -> "Box":
        return Box(self.top + down, self.left + over, self.bottom + down, self.right + over)

    def joined(self, other: "Box") -> "Box":
        return Box(
            min(self.top, other.top),
            min(self.left, other.left),
            max(self.bottom, other.bottom),
            max(self.right, other.right),
        )

    def with_margin(self, shape: tuple[int, int]) -> "Box":
        """The box and its surroundings inside a picture [H, W]: half its longer side, at least `_MARGIN`."""
        margin = max(_MARGIN, max(self.size) // 2)
        return Box(
            max(0, self.top - margin),
            max(0, self.left - margin),
            min(shape[0], self.bottom + margin),
            min(shape[1], self.right + margin),
        )


@dataclass(frozen=True, slots=True)
class Patch:
    """Holes that are filled in one run. `own`, bool [h, w], marks their pixels in the window."""

    window: Box
    own: Mask


def grow(mask: Mask, radius: int) -> Mask:
    """All pixels within `radius` pixels of the mask, in the octagonal metric (at most 8 % from the Euclidean one)."""
    box = bounds(mask)
    if box is None or radius < 1:
        return mask
    height, width = mask.shape
    box = Box(
        max(0, box.top - radius),
        max(0, box.left - radius),
        min(height, box.bottom + radius),
        min(width, box.right + radius),
    )
    part = mask[box.place]
    for step in range(radius):
        part = _one_more(part, square=step % 2 == 1)
    result = mask.copy()
    result[box.place] = part
    return result


def depth(mask: Mask, most: int) -> Floats:
    """The distance to the outside of the mask, float32 [H, W]: 0 outside, 1 at its outermost pixels, up to `most`.

    The border of the array does not count as outside.
    """
    result = mask.astype(np.float32)
    outside = ~mask
    for step in range(most - 1):
        outside = _one_more(outside, square=step % 2 == 1)
        result += ~outside
    return result


def _one_more(mask: Mask, *, square: bool) -> Mask:
    """Add the 4 neighbours of each pixel to the mask, or all 8 with `square`. Alternating them gives an octagon."""
    tall = mask.copy()
    tall[1:] |= mask[:-1]
    tall[:-1] |= mask[1:]
    wide = tall.copy() if square else tall
    source = tall if square else mask
    wide[:, 1:] |= source[:, :-1]
    wide[:, :-1] |= source[:, 1:]
    return wide


def resize_mask(mask: Mask, size: tuple[int, int]) -> Mask:
    """The mask at `size` = (width, height): true for every pixel that it touches."""
    if mask.shape == (size[1], size[0]):
        return mask
    image = Image.fromarray(mask.astype(np.float32))
    touched: Mask = np.asarray(image.resize(size, Image.Resampling.BOX)) > 0
    return touched


def bounds(mask: Mask) -> Box | None:
    """The smallest box around the mask; None if the mask is empty."""
    rows, columns = np.flatnonzero(mask.any(axis=1)), np.flatnonzero(mask.any(axis=0))
    if not len(rows):
        return None
    return Box(int(rows[0]), int(columns[0]), int(rows[-1]) + 1, int(columns[-1]) + 1)


def patches(mask: Mask, limit: int) -> list[Patch]:
    """The windows for filling the mask, with real surroundings. Each pixel of the mask belongs to exactly one patch.

    Holes that are far apart get separate windows, because a common window would mostly show other things. Holes that
    fit into one window with sides of at most `limit` pixels share it.
    """
    labels, boxes = _connected(mask)
    joined: list[tuple[Box, list[int]]] = []
    for number, box in enumerate(boxes, start=1):
        for place, (other, numbers) in enumerate(joined):
            both = box.joined(other)
            if max(both.with_margin(mask.shape).size) <= limit:
                joined[place] = both, [*numbers, number]
                break
        else:
            joined.append((box, [number]))
    found = []
    for box, numbers in joined:
        window = box.with_margin(mask.shape)
        mine = np.isin(labels, numbers)
        rows, columns = np.arange(window.top, window.bottom), np.arange(window.left, window.right)
        found.append(Patch(window, mask[window.place] & mine[(rows // _CELL)[:, None], columns // _CELL]))
    return found


def _connected(mask: Mask) -> tuple[npt.NDArray[np.intp], list[Box]]:
    """Label connected cells of `_CELL` pixels with 1, 2, ... (0: no hole), and return the box of the mask in each.

    Works on cells instead of pixels: there are a thousand times fewer, and holes that nearly touch belong together.
    """
    height, width = mask.shape
    padded = np.zeros((-(-height // _CELL) * _CELL, -(-width // _CELL) * _CELL), np.bool_)
    padded[:height, :width] = mask
    holes = padded.reshape(len(padded) // _CELL, _CELL, -1, _CELL).any(axis=(1, 3))
    labels = np.zeros(holes.shape, np.intp)
    boxes: list[Box] = []
    waiting = {(int(row), int(column)) for row, column in np.argwhere(holes)}
    for start in sorted(waiting):
        if start not in waiting:
            continue
        waiting.remove(start)
        cells, edge = [start], [start]
        while edge:
            row, column = edge.pop()
            near = {(row + down, column + over) for down in (-1, 0, 1) for over in (-1, 0, 1)} & waiting
            waiting -= near
            edge += near
            cells += near
        at = np.array(cells)
        labels[at[:, 0], at[:, 1]] = len(boxes) + 1
        (top, left), (bottom, right) = at.min(axis=0) * _CELL, (at.max(axis=0) + 1) * _CELL
        mine = labels[top // _CELL : bottom // _CELL, left // _CELL : right // _CELL] == len(boxes) + 1
        inner = bounds(padded[top:bottom, left:right] & mine.repeat(_CELL, 0).repeat(_CELL, 1))
        assert inner is not None
        boxes.append(inner.moved(int(top), int(left)))
    return labels, boxes
