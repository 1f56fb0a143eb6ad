"""Instance maps: pictures beside the pairs in which every object has a colour or value of its own."""

from collections.abc import Iterable
from pathlib import Path
from typing import Literal

import numpy as np
from numpy.typing import NDArray
from pydantic import Field

from img2img.data import folders, layouts
from img2img.data.folders import Reading
from img2img.data.layouts import HELD_OUT_FOLDERS
from img2img.data.pairs import Pair, PairedData, Pairs
from img2img.errors import DataError

FOLDER = "inst"
"""Folder of instance maps beside A and B."""

MOST = 2**16
"""Instances of one picture at most. More colours mean that it is no instance map."""


class InstanceData(PairedData):
    """Paired pictures, perhaps with instance maps."""

    instances: Path | Literal["auto"] | None = Field(
        default="auto",
        description="folder of instance maps, which have the names and the sizes of the label maps; auto: the folder "
        "inst beside A and B, if there is one; none: no instance maps",
    )


def find_instances(data: PairedData, pairs: Pairs) -> dict[Pair, Path] | None:
    """Return the instance map of each pair, or None if there are none.

    A map has the name of its pair. If the folder has subfolders train, val or test, those of the pair's part are
    searched first.

    Raises:
        DataError: the folder does not exist, or a pair has no instance map. The message names the first five.
    """
    folder = _folder(data)
    if folder is None:
        return None
    files = dict(layouts.named_pictures(folder))
    found: dict[Pair, Path] = {}
    absent: list[str] = []
    for parts, members in ((("train",), pairs.train), (HELD_OUT_FOLDERS, pairs.test)):
        for pair in members:
            names = [*(f"{part}/{pair.name}" for part in parts), pair.name]
            file = next((files[name] for name in names if name in files), None)
            if file is None:
                absent.append(pair.name)
            else:
                found[pair] = file
    if absent:
        count = len(pairs.train) + len(pairs.test)
        raise DataError(
            f"{folder}: {len(absent)} of {count} pairs have no instance map ({layouts.list_first(absent)}); add them, "
            "or set data.instances = none"
        )
    return found


def _folder(data: PairedData) -> Path | None:
    if not isinstance(data, InstanceData) or data.instances is None:
        return None
    if isinstance(data.instances, Path):
        return data.instances
    for place in _places(data.folders):
        if place.is_dir() and (found := layouts.child(place, FOLDER)) is not None:
            return found
    return None


def _places(sources: Iterable[Path]) -> list[Path]:
    """The folders that may hold A, B and the folder of instance maps."""
    first, *others = sources
    return [first.parent] if others or not first.is_dir() else [first]


def read_instances(path: Path, reading: Reading = Reading()) -> NDArray[np.uint16]:
    """Read an instance map as numbers from 0, `[H, W]`. Pixels of one colour, or one 8- or 16-bit value, are one
    instance.

    Raises:
        PictureError: the file cannot be read.
        DataError: it has more than `MOST` colours.
    """
    colour = folders.read(path, reading).colour
    codes = np.zeros(colour.shape[:2], np.int64)
    for channel in range(colour.shape[2]):
        codes = codes << 16 | colour[..., channel]
    found, place = np.unique(codes, return_inverse=True)
    if len(found) > MOST:
        raise DataError(f"{path}: {len(found)} colours, so it is no instance map")
    return place.reshape(codes.shape).astype(np.uint16)


def with_instances(classes: NDArray[np.uint8], path: Path, reading: Reading, *, name: object) -> NDArray[np.uint8]:
    """Return class, high byte and low byte of the instance of every pixel: uint8 `[H, W, 1]` to `[H, W, 3]`.

    The bytes are resized and cropped like the channels of a picture.

    Raises:
        DataError: the instance map has another size; the message names both files.
    """
    instances = read_instances(path, reading)
    if instances.shape != classes.shape[:2]:
        raise DataError(
            f"{path}: {instances.shape[1]} x {instances.shape[0]} pixels, but its label map {name} has "
            f"{classes.shape[1]} x {classes.shape[0]}"
        )
    return np.dstack((classes[..., 0], instances >> 8, instances & 255)).astype(np.uint8)
