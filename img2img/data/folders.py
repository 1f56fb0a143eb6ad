"""Finds and decodes the pictures in folders before the first training step."""

from collections.abc import Iterable, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from img2img.data.cache import Cache
from img2img.errors import DataError, PictureError, UsageError
from img2img.runtime.files.find import collect
from img2img.runtime.image import pictures
from img2img.runtime.image.alpha import over
from img2img.runtime.image.pictures import Picture

WHITE = (255, 255, 255)
SAMPLE = 8
"""Number of pictures that `dark_note` reads."""

TOO_SMALL = np.empty((0, 0, 3), np.uint8)


def find(folders: Iterable[Path]) -> list[Path]:
    """Return every picture below `folders`, sorted. Skips hidden files and system folders.

    Raises:
        DataError: a folder does not exist, or contains no pictures.
    """
    found: list[Path] = []
    for folder in folders:
        if not folder.is_dir():
            raise DataError(f"{folder}: no such folder")
        try:
            below = collect([str(folder)], recursive=True)
        except UsageError as error:
            raise DataError(str(error)) from error
        found.extend(sorted(source.path for source in below if isinstance(source.path, Path)))
    return found


@dataclass(frozen=True)
class Reading:
    """How the pictures of a data set are read.

    Attributes:
        white: the value of white in 16-bit pictures; higher ones are clipped. None: 65535.
        max_pixels: pictures with more are refused. None: 200 million.
    """

    white: int | None = None
    max_pixels: int | None = None

    @classmethod
    def of(cls, data: object) -> "Reading":
        """What a data section says about it (`CachedData`); the defaults for other sections."""
        return cls(getattr(data, "white", None), getattr(data, "max_pixels", None))


def read(path: Path, reading: Reading = Reading()) -> Picture:
    """Read a picture, the first frame of an animation. Raises PictureError."""
    return pictures.read(path, first_frame=True, max_pixels=reading.max_pixels or pictures.DEFAULT_MAX_PIXELS)


def read_rgb(path: Path, reading: Reading = Reading()) -> NDArray[np.uint8]:
    """Read a picture as uint8 RGB `[H, W, 3]`. Transparency is composited over white; 16 bits are rounded to 8.

    Raises:
        PictureError: the picture cannot be read.
    """
    return rgb(read(path, reading), reading.white)


def rgb(picture: Picture, white: int | None = None) -> NDArray[np.uint8]:
    """Convert `picture` to the format of `read_rgb`."""
    colour = picture.colour
    if white is not None and colour.dtype == np.uint16:
        colour = np.rint(np.minimum(colour, white) * (65535 / white)).astype(np.uint16)
    if picture.alpha is not None:
        colour = over(colour, picture.alpha, WHITE)
    if colour.dtype == np.uint16:
        colour = np.rint(colour * (255 / 65535)).astype(np.uint8)
    return np.array(np.broadcast_to(colour, (*colour.shape[:2], 3)), order="C")


def used_range(values: Sequence[int]) -> tuple[int, int] | None:
    """Return the highest of `values`, each the highest of a 16-bit picture, and the value of white that it suggests.

    None if the pictures use more than a quarter of the range, or none is given: they are not nearly black.
    """
    highest = max(values, default=65535)
    return (highest, max(2 ** int(highest).bit_length() - 1, 1)) if highest < 2**14 else None


def dark_note(paths: Sequence[Path], reading: Reading) -> list[str]:
    """Return a note if 16-bit pictures among a sample of `paths` use so few values that they are nearly black."""
    tops = []
    for path in paths[:: max(len(paths) // SAMPLE, 1)][:SAMPLE] if reading.white is None else ():
        with suppress(PictureError):  # reading all of them reports it
            colour = read(path, reading).colour
            tops += [int(colour.max())] if colour.dtype == np.uint16 else []
    found = used_range(tops)
    if found is None:
        return []
    return [f"warning: 16-bit pictures use only values up to {found[0]}: nearly black; --set data.white={found[1]}"]


@dataclass(frozen=True)
class Photos:
    """Decoded photos of sufficient size, cached in memory up to a limit.

    Attributes:
        paths: their files, in order.
        pixels: uint8 RGB `[H, W, 3]` each.
        small: skipped files with a side that is too short.
        megapixels: total over all photos.
        note: a sentence for the user if not all photos fit into memory.
    """

    paths: list[Path]
    pixels: Sequence[NDArray[np.uint8]]
    small: list[Path]
    megapixels: float
    note: str | None

    @classmethod
    def read(
        cls, paths: Sequence[Path], *, smallest: int, limit_mb: int | None = None, reading: Reading = Reading()
    ) -> "Photos":
        """Decode `paths`, skipping pictures with a side below `smallest` pixels.

        Args:
            limit_mb: memory for decoded photos, see `Cache`.
            reading: see `read_rgb`.

        Raises:
            DataError: a file cannot be read (the message names the first two), or no picture is large enough.
        """
        sizes: dict[Path, int] = {}

        def read(path: Path) -> NDArray[np.uint8]:
            photo = read_rgb(path, reading)
            if min(photo.shape[:2]) < smallest:
                return TOO_SMALL  # skipped below; takes no memory
            sizes[path] = photo.shape[0] * photo.shape[1]
            return photo

        cache = Cache(paths, read, limit_mb=limit_mb)
        if not sizes:
            raise DataError(f"all pictures have a side below {smallest} pixels; choose a smaller crop")
        kept = [place for place, path in enumerate(paths) if path in sizes]
        small = [path for path in paths if path not in sizes]
        megapixels = sum(sizes.values()) / 1e6
        return cls([paths[place] for place in kept], Subset(cache, kept), small, megapixels, cache.note)


class Subset(Sequence[NDArray[np.uint8]]):
    """Some items of another sequence."""

    def __init__(self, whole: Sequence[NDArray[np.uint8]], places: list[int]) -> None:
        self.whole = whole
        self.places = places

    def __len__(self) -> int:
        return len(self.places)

    def __getitem__(self, place: Any) -> Any:
        if isinstance(place, slice):
            return [self.whole[index] for index in self.places[place]]
        return self.whole[self.places[place]]


def hold_out(paths: list[Path], most: int = 12) -> tuple[list[Path], list[Path]]:
    """Split into training and validation pictures.

    Holds out the last twentieth of every folder, 1 to `most` pictures in total. They are a contiguous block at the end
    of the sorted names, so that tiles of one photo rarely end up on both sides.

    Raises:
        DataError: there are fewer than two pictures.
    """
    if len(paths) < 2:
        raise DataError(
            "one picture cannot serve for both training and validation; add more, or give --validation FOLDER"
        )
    count = min(max(len(paths) // 20, 1), most)
    by_folder: dict[Path, list[Path]] = {}
    for path in paths:
        by_folder.setdefault(path.parent, []).append(path)
    held: set[Path] = set()
    for group in by_folder.values():
        share = max(round(count * len(group) / len(paths)), 0)
        held.update(group[len(group) - share :] if share else [])
    if not held:
        held = {paths[-1]}
    return [p for p in paths if p not in held], [p for p in paths if p in held]
