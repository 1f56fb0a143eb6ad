"""Pictures in folders, checked before the first training step."""

from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from img2img.errors import DataError, PictureError, UsageError
from img2img.runtime import files, pictures
from img2img.runtime.pictures import Picture


def find(folders: Iterable[Path]) -> list[Path]:
    """Every picture below `folders`, sorted; hidden files and system folders are passed over.

    Raises:
        DataError: a folder does not exist, or no picture is found.
    """
    found: list[Path] = []
    for folder in folders:
        if not folder.is_dir():
            raise DataError(f"{folder}: there is no such folder")
        try:
            below = files.collect([str(folder)], recursive=True)
        except UsageError as error:
            raise DataError(str(error)) from error
        found.extend(sorted(source.path for source in below if source.path is not None))
    return found


def read_rgb(path: Path) -> NDArray[np.uint8]:
    """The picture as uint8 RGB `[H, W, 3]`; transparency is laid over white, 16 bits are rounded to 8.

    Raises:
        PictureError: it cannot be read.
    """
    return rgb(pictures.read(path, first_frame=True))


def rgb(picture: Picture) -> NDArray[np.uint8]:
    """`picture` as `read_rgb` gives it."""
    colour = picture.colour
    whole = np.iinfo(colour.dtype).max
    if picture.alpha is not None:
        share = picture.alpha[:, :, None].astype(np.float32) / whole
        colour = np.rint(colour * share + whole * (1 - share)).astype(colour.dtype)
    if colour.dtype == np.uint16:
        colour = np.rint(colour * (255 / 65535)).astype(np.uint8)
    return np.array(np.broadcast_to(colour, (*colour.shape[:2], 3)), order="C")


@dataclass(frozen=True)
class Photos:
    """Decoded photos held in memory.

    Attributes:
        paths: their files, in order.
        pixels: uint8 RGB `[H, W, 3]` each.
        small: files passed over because a side is shorter than asked for.
    """

    paths: list[Path]
    pixels: list[NDArray[np.uint8]]
    small: list[Path]

    @classmethod
    def read(cls, paths: Iterable[Path], *, smallest: int) -> "Photos":
        """Decode `paths`, passing over pictures with a side below `smallest` pixels.

        Raises:
            DataError: a file cannot be read (the first five are named), or no picture is large enough.
        """
        kept: list[Path] = []
        pixels: list[NDArray[np.uint8]] = []
        small: list[Path] = []
        broken: list[str] = []
        for path in paths:
            try:
                photo = read_rgb(path)
            except PictureError as error:
                broken.append(str(error))
                continue
            if min(photo.shape[:2]) < smallest:
                small.append(path)
            else:
                kept.append(path)
                pixels.append(photo)
        if broken:
            raise DataError(f"{len(broken)} pictures cannot be read; move or mend them: " + "; ".join(broken[:5]))
        if not kept:
            raise DataError(f"no picture has both sides of {smallest} pixels or more: choose a smaller crop")
        return cls(kept, pixels, small)


def hold_out(paths: list[Path]) -> tuple[list[Path], list[Path]]:
    """Split into training and validation pictures: every folder's last twentieth, 1 to 12 pictures, is held out.

    A contiguous block at the end of the sorted names, so that tiles cut from one photo seldom fall on both sides.

    Raises:
        DataError: there are fewer than two pictures.
    """
    if len(paths) < 2:
        raise DataError("one picture cannot be both trained on and validated with: give more, or --validation FOLDER")
    count = min(max(len(paths) // 20, 1), 12)
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
