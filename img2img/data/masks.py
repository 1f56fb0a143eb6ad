"""Holes for inpainting: boxes, free-form brush strokes (Yu et al. 2019, supplementary material, algorithm 1), the
middle, or pictures of masks. 1 = fill here.

Whatever is drawn, the hole's share of the picture lies in `MaskConfig.share`: strokes and boxes are added until it is
large enough, each that would make it too large is drawn anew, and if that leads nowhere the hole is grown at its edge.
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
from img2img.data.ranges import Counts, rising
from img2img.errors import DataError
from img2img.section import Section

cv2.setNumThreads(0)  # as in data.degradation_steps

Mask = NDArray[np.uint8]

TRIES = 20
"""Strokes, boxes or files in a row that may not fit before the hole is grown instead."""


Part = Annotated[float, Field(gt=0, lt=1)]
Parts = Annotated[tuple[Part, Part], AfterValidator(rising)]
Angle = Annotated[float, Field(ge=0, le=180)]


class Kinds(Section):
    """How often each kind of hole is drawn, in proportion to each other."""

    both: NonNegativeFloat = Field(default=1.0, description="weight of a box together with brush strokes")
    strokes: NonNegativeFloat = Field(default=0.0, description="weight of brush strokes alone")
    box: NonNegativeFloat = Field(default=0.0, description="weight of boxes alone")
    centre: NonNegativeFloat = Field(default=0.0, description="weight of a box in the middle (Pathak et al. 2016)")
    folder: NonNegativeFloat = Field(default=0.0, description="weight of the masks in `folders`")

    @model_validator(mode="after")
    def _any(self) -> Self:
        if not any(self.model_dump().values()):
            raise ValueError("no kind of hole has a weight above 0")
        return self


class Boxes(Section):
    count: Counts = Field(default=(1, 1), description="boxes in a hole, fewest and most")
    sides: Parts = Field(default=(0.375, 0.5), description="their sides as parts of the picture's")


class Strokes(Section):
    count: Counts = Field(default=(1, 3), description="strokes in a hole, fewest and most")
    vertices: Counts = Field(default=(4, 11), description="corners of a stroke, fewest and most")
    width: Parts = Field(default=(12 / 256, 40 / 256), description="width of the brush, part of the shorter side")
    length: Part = Field(
        default=0.125, description="mean distance of two corners, part of the diagonal; its deviation is half of that"
    )
    angle: Angle = Field(default=72.0, description="mean direction in degrees; every second one is the mirror image")
    spread: Angle = Field(default=24.0, description="largest deviation from it in degrees")


class MaskConfig(Section):
    kinds: Kinds = Field(default=Kinds(), description="weights of the kinds of holes")
    share: Parts = Field(default=(0.1, 0.4), description="smallest and largest share of the picture that is a hole")
    box: Boxes = Field(default=Boxes(), description="boxes")
    strokes: Strokes = Field(default=Strokes(), description="brush strokes")
    folders: tuple[Path, ...] = Field(default=(), description="folders of masks, white = fill")

    @model_validator(mode="after")
    def _possible(self) -> Self:
        if self.kinds.folder and not self.folders:
            raise ValueError("kinds.folder has a weight, but folders names no folder of masks")
        if (self.kinds.box or self.kinds.both) and self.box.sides[0] ** 2 > self.share[1]:
            raise ValueError(
                f"a box with sides of {self.box.sides[0]:g} is more than share = {list(self.share)} allows: "
                "lower box.sides, or set kinds.box and kinds.both to 0"
            )
        return self


class Masks:
    """Draws holes.

    Args:
        config: see there.

    Raises:
        DataError: a mask file cannot be read, or none has a hole of the wanted share.
    """

    def __init__(self, config: MaskConfig) -> None:
        self.config = config
        weights = {name: weight for name, weight in config.kinds.model_dump().items() if weight}
        self._kinds = list(weights)
        self._weights = np.array(list(weights.values())) / sum(weights.values())
        self._files: Cache[Path, Mask] | None = None
        self._usable: list[int] = []
        self.small_or_large: list[Path] = []  # files passed over for their hole's share
        if config.kinds.folder:
            self._read_folders()

    def draw(self, rng: np.random.Generator, height: int, width: int) -> Mask:
        """A hole in a `height` x `width` picture, uint8 0 or 1 `[height, width]`: a pure function of `rng`'s state.

        Its share is within the configured range, to the pixel where the range holds a whole number of them, and
        always some pixel is in it and some is not.
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
            for number, piece in enumerate(pieces + pieces[-1:] * TRIES):
                if number < len(pieces) or np.count_nonzero(mask) < fewest:
                    mask = self._add(piece, mask, rng, most)
        return _grown(mask, fewest, rng)

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
        """`mask` with one more box or stroke; as it was where TRIES of them made the hole too large."""
        for _ in range(TRIES):
            if piece == "box":
                more = mask | _box(self.config.box, rng, *mask.shape)
            else:
                more = mask | _stroke(self.config.strokes, rng, *mask.shape)
            if np.count_nonzero(more) <= most:
                return more
        return mask

    def _read_folders(self) -> None:
        shares: dict[Path, float] = {}

        def read(path: Path) -> Mask:
            mask = (folders.read_rgb(path)[:, :, 1] >= 128).astype(np.uint8)
            shares[path] = float(mask.mean())
            return mask

        paths = folders.find(self.config.folders)
        self._files = Cache(paths, read)
        low, high = self.config.share
        self._usable = [place for place, path in enumerate(paths) if low <= shares[path] <= high]
        self.small_or_large = [path for path in paths if not low <= shares[path] <= high]
        if not self._usable:
            where = ", ".join(map(str, self.config.folders))
            raise DataError(
                f"{where}: {len(paths)} masks, of whose pictures the hole (white) is {min(shares.values()):.0%} to "
                f"{max(shares.values()):.0%}, none of them {low:.0%} to {high:.0%}; set share, or invert the masks"
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
def masks(config: MaskConfig) -> Masks:
    """`Masks(config)`, the same one for the same settings: mask files are read once."""
    return Masks(config)


def draw(config: MaskConfig, rng: np.random.Generator, height: int, width: int) -> Mask:
    """See `Masks.draw`."""
    return masks(config).draw(rng, height, width)


def _count(limits: tuple[int, int], rng: np.random.Generator) -> int:
    return int(rng.integers(*limits, endpoint=True))


def _centre(height: int, width: int, area: int) -> Mask:
    """A box of at most `area` pixels, of the picture's proportions, in its middle."""
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
    """A zigzag of round-ended lines: directions alternate between the mean and its mirror image."""
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


def _grown(mask: Mask, fewest: int, rng: np.random.Generator) -> Mask:
    """`mask` with the pixels at its edge added, ring by ring, until it has `fewest`; the last ring in part."""
    grown = np.array(mask, order="C")
    if not grown.any():
        grown[int(rng.integers(mask.shape[0])), int(rng.integers(mask.shape[1]))] = 1
    while (missing := fewest - np.count_nonzero(grown)) > 0:
        larger = np.asarray(cv2.dilate(grown, np.ones((3, 3), np.uint8)), np.uint8)
        ring = np.flatnonzero(larger != grown)
        grown.flat[ring[:missing]] = 1
    return grown
