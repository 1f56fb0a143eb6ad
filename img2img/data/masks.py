"""Draws holes for inpainting. In a mask, 1 = fill here.

The kinds are boxes, free-form brush strokes (Yu et al. 2019, supplementary material, algorithm 1), a box in the middle,
and mask files. The hole's share of the picture always lies in `MaskConfig.share`. Boxes and strokes are added until the
hole is large enough. One that would make it too large is drawn again. If that fails, the hole grows at its edge.
"""

import math
from functools import lru_cache
from pathlib import Path
from typing import Annotated, Self

import cv2
import numpy as np
from numpy.typing import NDArray
from pydantic import AfterValidator, Field, NonNegativeFloat, model_validator

from img2img.data import folders
from img2img.data.cache import Cache
from img2img.data.folders import Reading
from img2img.data.ranges import Counts, rising
from img2img.errors import DataError
from img2img.section import Section

cv2.setNumThreads(0)  # as in data.degradation_steps

Mask = NDArray[np.uint8]

TRIES = 20
"""Number of strokes, boxes or files tried in a row before the hole grows at its edge instead."""


Fraction = Annotated[float, Field(gt=0, lt=1)]
Fractions = Annotated[tuple[Fraction, Fraction], AfterValidator(rising)]
Angle = Annotated[float, Field(ge=0, le=180)]


class Kinds(Section):
    """Relative frequency of each kind of hole."""

    both: NonNegativeFloat = Field(default=1.0, description="weight of boxes combined with brush strokes")
    strokes: NonNegativeFloat = Field(default=0.0, description="weight of brush strokes alone")
    box: NonNegativeFloat = Field(default=0.0, description="weight of boxes alone")
    centre: NonNegativeFloat = Field(default=0.0, description="weight of a box in the middle (Pathak et al. 2016)")
    folder: NonNegativeFloat = Field(default=0.0, description="weight of the masks in `folders`")

    @model_validator(mode="after")
    def _any(self) -> Self:
        if not any(self.model_dump().values()):
            raise ValueError("at least one kind of hole needs a weight above 0")
        return self


class Boxes(Section):
    count: Counts = Field(default=(1, 1), description="smallest and largest number of boxes in a hole")
    sides: Fractions = Field(default=(0.375, 0.5), description="smallest and largest side, relative to the picture's")


class Strokes(Section):
    count: Counts = Field(default=(1, 3), description="smallest and largest number of strokes in a hole")
    vertices: Counts = Field(default=(4, 11), description="smallest and largest number of corners in a stroke")
    width: Fractions = Field(default=(12 / 256, 40 / 256), description="brush width, relative to the shorter side")
    length: Fraction = Field(
        default=0.125,
        description="mean distance between corners, relative to the diagonal; the standard deviation is half of it",
    )
    angle: Angle = Field(default=72.0, description="mean direction in degrees; every second line is mirrored")
    spread: Angle = Field(default=24.0, description="largest deviation from the mean direction in degrees")


class MaskConfig(Section):
    kinds: Kinds = Field(default=Kinds(), description="weights of the kinds of holes")
    share: Fractions = Field(default=(0.1, 0.4), description="smallest and largest share of the picture to cover")
    box: Boxes = Field(default=Boxes(), description="boxes")
    strokes: Strokes = Field(default=Strokes(), description="brush strokes")
    folders: tuple[Path, ...] = Field(default=(), description="folders of masks, white = fill")

    @model_validator(mode="after")
    def _possible(self) -> Self:
        if self.kinds.folder and not self.folders:
            raise ValueError("kinds.folder has a weight, but folders is empty; name a folder of masks")
        if (self.kinds.box or self.kinds.both) and self.box.sides[0] ** 2 > self.share[1]:
            raise ValueError(
                f"a box with sides of {self.box.sides[0]:g} covers more than share = {list(self.share)} allows; "
                "lower box.sides, or set kinds.box and kinds.both to 0"
            )
        return self


class Masks:
    """Draws holes as configured by `config`. `reading`: how files of masks are read.

    Attributes:
        out_of_range: mask files that are skipped because their share is not in the configured range.

    Raises:
        DataError: a mask file cannot be read, or none has a share in the configured range.
    """

    def __init__(self, config: MaskConfig, reading: Reading = Reading()) -> None:
        self.config = config
        weights = {name: weight for name, weight in config.kinds.model_dump().items() if weight}
        self._kinds = list(weights)
        self._weights = np.array(list(weights.values())) / sum(weights.values())
        self._files: Cache[Path, Mask] | None = None
        self._usable: list[int] = []
        self.out_of_range: list[Path] = []
        if config.kinds.folder:
            self._read_folders(reading)

    def draw(self, rng: np.random.Generator, height: int, width: int) -> Mask:
        """Draw a hole for a `height` x `width` picture: uint8 0 or 1 `[height, width]`.

        The hole is a pure function of the state of `rng`. Its share is in the configured range, to the pixel if the
        range contains a whole number of pixels. At least one pixel is in the hole, and at least one is not.
        """
        fewest, most = self._limits(height * width)
        kind = str(rng.choice(self._kinds, p=self._weights))
        mask = np.zeros((height, width), np.uint8)
        if kind == "centre":
            mask = _centre(height, width, min(max(height * width // 4, fewest), most))
        elif kind == "folder":
            for _ in range(TRIES):
                drawn = self._from_folder(rng, height, width)
                if fewest <= np.count_nonzero(drawn) <= most:
                    mask = drawn
                    break
        else:
            pieces = self._pieces(kind, rng)
            for piece in pieces:
                mask = self._add(piece, mask, rng, most)
            for _ in range(TRIES):
                if np.count_nonzero(mask) < fewest:
                    mask = self._add(pieces[-1], mask, rng, most)
        return _grow(mask, fewest, rng)

    def _limits(self, pixels: int) -> tuple[int, int]:
        low, high = (share * pixels for share in self.config.share)
        fewest, most = math.ceil(low - 1e-9), math.floor(high + 1e-9)
        if fewest > most:
            fewest = most = round((low + high) / 2)
        return min(max(fewest, 1), pixels - 1), min(max(most, 1), pixels - 1)

    def _pieces(self, kind: str, rng: np.random.Generator) -> list[str]:
        boxes = _count(self.config.box.count, rng) if kind in ("box", "both") else 0
        strokes = _count(self.config.strokes.count, rng) if kind in ("strokes", "both") else 0
        return ["box"] * boxes + ["stroke"] * strokes

    def _add(self, piece: str, mask: Mask, rng: np.random.Generator, most: int) -> Mask:
        """Add a box or stroke to `mask`. Returns `mask` unchanged if TRIES of them would make the hole too large."""
        for _ in range(TRIES):
            if piece == "box":
                more = mask | _box(self.config.box, rng, *mask.shape)
            else:
                more = mask | _stroke(self.config.strokes, rng, *mask.shape)
            if np.count_nonzero(more) <= most:
                return more
        return mask

    def _read_folders(self, reading: Reading) -> None:
        shares: dict[Path, float] = {}

        def read(path: Path) -> Mask:
            mask = (folders.read_rgb(path, reading)[:, :, 1] >= 128).astype(np.uint8)
            shares[path] = float(mask.mean())
            return mask

        paths = folders.find(self.config.folders)
        self._files = Cache(paths, read)
        low, high = self.config.share
        self._usable = [place for place, path in enumerate(paths) if low <= shares[path] <= high]
        self.out_of_range = [path for path in paths if not low <= shares[path] <= high]
        if not self._usable:
            where = ", ".join(map(str, self.config.folders))
            raise DataError(
                f"{where}: none of {len(paths)} masks is {low:.0%} to {high:.0%} white (they range from "
                f"{min(shares.values()):.0%} to {max(shares.values()):.0%}); change share, or invert the masks"
            )

    def _from_folder(self, rng: np.random.Generator, height: int, width: int) -> Mask:
        assert self._files is not None
        mask = self._files[self._usable[int(rng.integers(len(self._usable)))]]
        mask = np.rot90(mask, int(rng.integers(4)))
        if rng.integers(2):
            mask = mask[:, ::-1]
        resized = cv2.resize(np.ascontiguousarray(mask), (width, height), interpolation=cv2.INTER_NEAREST)
        return np.asarray(resized, np.uint8)


@lru_cache(maxsize=4)
def cached_masks(config: MaskConfig) -> Masks:
    """Return `Masks(config)`, the same object for equal configurations, so that mask files are read once."""
    return Masks(config)


def draw(config: MaskConfig, rng: np.random.Generator, height: int, width: int) -> Mask:
    """Draw a hole, see `Masks.draw`."""
    return cached_masks(config).draw(rng, height, width)


def _count(limits: tuple[int, int], rng: np.random.Generator) -> int:
    return int(rng.integers(*limits, endpoint=True))


def _centre(height: int, width: int, area: int) -> Mask:
    """Return a box of at most `area` pixels in the middle, with the proportions of the picture."""
    rows = min(max(round(height * math.sqrt(area / (height * width))), 1), height, area)
    columns = min(area // rows, width)
    mask = np.zeros((height, width), np.uint8)
    top, left = (height - rows) // 2, (width - columns) // 2
    mask[top : top + rows, left : left + columns] = 1
    return mask


def _box(config: Boxes, rng: np.random.Generator, height: int, width: int) -> Mask:
    rows, columns = (min(max(round(side * rng.uniform(*config.sides)), 1), side) for side in (height, width))
    top, left = int(rng.integers(height - rows + 1)), int(rng.integers(width - columns + 1))
    mask = np.zeros((height, width), np.uint8)
    mask[top : top + rows, left : left + columns] = 1
    return mask


def _stroke(config: Strokes, rng: np.random.Generator, height: int, width: int) -> Mask:
    """Draw a zigzag of lines with round ends. Directions alternate between the mean and its mirror image."""
    corners = _count(config.vertices, rng)
    mean, spread = math.radians(config.angle), math.radians(config.spread)
    lowest, highest = mean - rng.uniform(0, spread), mean + rng.uniform(0, spread)
    angles = rng.uniform(lowest, highest, corners) * np.where(np.arange(corners) % 2, 1, -1)
    length = config.length * math.hypot(height, width)
    lengths = np.clip(rng.normal(length, length / 2, corners), 0, 2 * length)
    brush = max(round(rng.uniform(*config.width) * min(height, width)), 1)
    flip_rows, flip_columns = bool(rng.integers(2)), bool(rng.integers(2))

    x, y = float(rng.integers(width)), float(rng.integers(height))
    path = [(round(x), round(y))]
    for angle, step in zip(angles, lengths, strict=True):
        x = min(max(x + step * math.cos(angle), 0), width)
        y = min(max(y + step * math.sin(angle), 0), height)
        path.append((round(x), round(y)))
    mask = np.zeros((height, width), np.uint8)
    cv2.polylines(mask, [np.array(path, np.int32)], isClosed=False, color=1, thickness=brush)  # ends are round
    return mask[:: -1 if flip_rows else 1, :: -1 if flip_columns else 1]


def _grow(mask: Mask, fewest: int, rng: np.random.Generator) -> Mask:
    """Grow the hole in `mask` at its edge, ring by ring, until it has `fewest` pixels. The last ring may be partial."""
    grown = np.array(mask, order="C")
    if not grown.any():
        grown[int(rng.integers(mask.shape[0])), int(rng.integers(mask.shape[1]))] = 1
    while (missing := fewest - np.count_nonzero(grown)) > 0:
        larger = np.asarray(cv2.dilate(grown, np.ones((3, 3), np.uint8)), np.uint8)
        ring = np.flatnonzero(larger != grown)
        grown.flat[ring[:missing]] = 1
    return grown
