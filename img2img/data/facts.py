"""Collects facts about picture files and finds duplicates."""

import hashlib
import os
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from img2img.data import folders
from img2img.data.folders import Reading
from img2img.data.pairs import Part
from img2img.errors import PictureError
from img2img.pool import Pool
from img2img.runtime.image import pictures, pillow

Pixels = NDArray[np.uint8]

THUMB = 16
SIMILAR_BITS = 6
"""Largest number of differing bits, of 64, between the difference hashes of two versions of one picture."""

SIMILAR_PIXELS = 20
"""Largest difference, on a scale of 255, between the 16 x 16 thumbnails of two versions of one picture.

The hash alone is not enough: it takes different drawings on white for the same.
"""

ALL_PAIRS = 5000
"""Up to this many pictures, each is compared with every other. Beyond, only held-out pictures are compared with all."""

_MODES = {"1": "1-bit", "L": "grey", "LA": "grey", "La": "grey", "P": "palette", "PA": "palette", "RGBA": "RGB"}
_BITS = np.array([bin(value).count("1") for value in range(256)], np.uint8)


@dataclass(frozen=True)
class Facts:
    """Facts about one picture, or one half of a side-by-side picture.

    Attributes:
        size: width and height in pixels.
        mode: "RGB", "grey", "palette", "1-bit", "CMYK", ..., followed by "alpha", "16-bit" and "animated" if they
            apply.
        grey: whether no pixel has a colour.
        digest: hash of size and pixels.
        hash: 64-bit difference hash: for 9 x 8 pixels, whether each is brighter than its left neighbour.
        thumb: uint8 RGB `[16, 16, 3]`.
        highest: the highest value of a 16-bit picture; otherwise None.
    """

    part: Part
    size: tuple[int, int]
    mode: str
    grey: bool
    digest: bytes
    hash: int
    thumb: Pixels
    highest: int | None = None

    @property
    def name(self) -> str:
        """The file, and which half of it."""
        return f"{self.part.path} ({self.part.half} half)" if self.part.half else str(self.part.path)


def examine(
    parts: Sequence[Part], tick: Callable[[], None] = lambda: None, *, reading: Reading = Reading()
) -> tuple[dict[Part, Facts], dict[Path, str]]:
    """Return the facts about `parts`, and the reason for each file that cannot be read.

    Decodes every file once, in threads, and calls `tick` after each. `reading`: see `folders.read_rgb`.
    """
    by_path: dict[Path, list[Part]] = {}
    for part in parts:
        by_path.setdefault(part.path, []).append(part)
    facts: dict[Part, Facts] = {}
    broken: dict[Path, str] = {}
    with Pool(min(os.cpu_count() or 1, 16)) as pool:
        for path, found in zip(by_path, pool.map(partial(_examine, reading=reading), by_path.values()), strict=True):
            if isinstance(found, str):
                broken[path] = found
            else:
                facts.update((one.part, one) for one in found)
            tick()
    return facts, broken


def identical(facts: Sequence[Facts]) -> list[list[int]]:
    """Return the indices of pictures that are equal pixel for pixel, two or more per list."""
    groups: dict[bytes, list[int]] = {}
    for place, one in enumerate(facts):
        groups.setdefault(one.digest, []).append(place)
    return [group for group in groups.values() if len(group) > 1]


def similar(facts: Sequence[Facts], held: Sequence[bool]) -> list[tuple[int, int]]:
    """Return the indices of pairs of pictures that look the same (another size or compression) but are not equal.

    With more than `ALL_PAIRS` pictures, finds only pairs with at least one picture in `held`.
    """
    if not facts:
        return []
    unique = list({one.digest: place for place, one in reversed(list(enumerate(facts)))}.values())
    # An equal training picture may hide a held-out one here, but `identical` reports those.
    rows = unique if len(unique) <= ALL_PAIRS else [place for place in unique if held[place]]
    hashes = np.array([facts[place].hash for place in unique], np.uint64)
    thumbs = np.array([facts[place].thumb for place in unique], np.int16).reshape(len(unique), -1)
    where = {place: number for number, place in enumerate(unique)}
    found: set[tuple[int, int]] = set()
    for row in rows:
        number = where[row]
        bits = _BITS[(hashes ^ hashes[number]).view(np.uint8).reshape(len(unique), 8)].sum(axis=1)
        near = np.flatnonzero(bits <= SIMILAR_BITS)
        near = near[np.abs(thumbs[near] - thumbs[number]).max(axis=1) <= SIMILAR_PIXELS]
        found |= {(min(row, unique[n]), max(row, unique[n])) for n in near.tolist() if n != number}
    return sorted(found)


def _examine(parts: list[Part], reading: Reading) -> list[Facts] | str:
    path = parts[0].path
    try:
        picture = folders.read(path, reading)
    except PictureError as error:
        return str(error)
    whole = folders.rgb(picture, reading.white)
    highest = int(picture.colour.max()) if picture.colour.dtype == np.uint16 else None
    mode = _mode(path, picture)
    found: list[Facts] = []
    for part in parts:
        pixels = whole
        if part.half is not None:
            middle = whole.shape[1] // 2
            pixels = whole[:, :middle] if part.half == "left" else whole[:, middle:]
        found.append(replace(_facts(part, np.ascontiguousarray(pixels), mode), highest=highest))
    return found


def _facts(part: Part, pixels: Pixels, mode: str) -> Facts:
    height, width = pixels.shape[:2]
    if not pixels.size:
        return Facts(part, (width, height), mode, True, b"", 0, np.zeros((THUMB, THUMB, 3), np.uint8))
    image = Image.fromarray(pixels)
    steps = np.asarray(image.convert("L").resize((9, 8), Image.Resampling.BOX)).astype(np.int16)
    bits = np.packbits(np.diff(steps, axis=1) > 0)
    return Facts(
        part=part,
        size=(width, height),
        mode=mode,
        grey=bool((pixels[..., 0] == pixels[..., 1]).all() and (pixels[..., 1] == pixels[..., 2]).all()),
        digest=hashlib.blake2b(pixels.tobytes() + f"{width}x{height}".encode(), digest_size=16).digest(),
        hash=int.from_bytes(bits.tobytes(), "big"),
        thumb=np.asarray(image.resize((THUMB, THUMB), Image.Resampling.BOX)),
    )


def _mode(path: Path, picture: pictures.Picture) -> str:
    words = ["grey" if picture.colour.shape[2] == 1 else "RGB"]
    # Ask Pillow about the file itself, because the decoded picture no longer has a palette.
    with (
        pillow.quiet(),
        suppress(OSError, ValueError, SyntaxError, Image.DecompressionBombError),
        Image.open(path) as image,
    ):
        if not image.mode.startswith("I"):
            words[0] = _MODES.get(image.mode, image.mode)
        if getattr(image, "is_animated", False) and image.format != "MPO":
            words.append("animated")
    if picture.alpha is not None:
        words.append("alpha")
    if picture.colour.dtype == np.uint16:
        words.append("16-bit")
    return " ".join(words)
