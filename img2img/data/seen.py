"""Training pictures as a method sees them: resized, cropped and augmented, odd ones first."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol, runtime_checkable

import numpy as np
from numpy.typing import NDArray
from torch import Tensor

from img2img.data import labels, odd
from img2img.data.cache import Cache
from img2img.data.folders import Subset
from img2img.data.pairs import Pair, Part
from img2img.runtime.image import sizes
from img2img.runtime.image.pictures import DEFAULT_MAX_PIXELS

Pixels = NDArray[np.uint8]

CANDIDATES = 1000
"""Items among which odd ones are searched."""


@runtime_checkable
class Sourced(Protocol):
    """A data set that knows from which pictures its items are made."""

    def sources(self, index: int) -> list[tuple[Sequence[Any], int]]:
        """The sequences and the places in them that item `index` is made from. Reads no picture."""

    def __getitem__(self, index: int, /) -> dict[str, Tensor]: ...


@dataclass(frozen=True)
class Seen:
    """An item of a data set.

    Attributes:
        parts: the files that it is made from; empty if unknown.
        pictures: uint8 RGB `[H, W, 3]` by name, of any size each.
        odd: what is odd about it.
    """

    parts: list[Part]
    pictures: dict[str, Pixels]
    odd: list[str]


def look(dataset: Any, *, crop: int, count: int, known: Mapping[Part, list[str]] | None = None) -> list[Seen]:
    """Return up to `count` items of `dataset`, odd ones first, and then in the order in which training takes them.

    Items depend only on their index, so that looking at them does not change a training. At most half of the items are
    chosen because they are odd.

    Args:
        crop: side of the crops in pixels.
        known: what is odd about files; None: looks only at the sizes of the first ones.
    """
    if not isinstance(dataset, Sourced):
        return [_seen(dataset[index], [], [], dataset) for index in range(count)]
    reasons: dict[int, list[str]] = {}
    parts: dict[int, list[Part]] = {}
    passed: set[Part] = set()
    for index in range(CANDIDATES if known is None else max(CANDIDATES, 4 * _length(dataset))):
        found = [part for sequence, place in dataset.sources(index) for part in _parts(sequence, place)]
        if found and passed.issuperset(found):
            continue  # one look at each file is enough
        passed.update(found)
        parts[index] = found
        reasons[index] = [
            reason for part in found for reason in (known.get(part, []) if known is not None else _shape(part, crop))
        ]
    oddest = sorted((index for index in reasons if reasons[index]), key=lambda index: -len(reasons[index]))
    chosen = oddest[: count // 2]
    chosen += [index for index in reasons if index not in chosen][: count - len(chosen)]
    items = [_seen(dataset[index], parts[index], reasons[index], dataset) for index in chosen]
    return sorted(items, key=lambda item: not item.odd)


def _seen(item: Mapping[str, Tensor], parts: list[Part], reasons: list[str], dataset: Any) -> Seen:
    pictures = _pictures(item, getattr(dataset, "palette", None))
    blank = [f"{name} is nearly blank" for name, one in pictures.items() if odd.is_blank(one)]
    return Seen(parts, pictures, [*dict.fromkeys(reasons), *blank])


def _pictures(item: Mapping[str, Tensor], palette: Pixels | None) -> dict[str, Pixels]:
    """The pictures of an item for people: masks as white holes, label maps in their colours, grey as RGB."""
    found: dict[str, Pixels] = {}
    for name, value in item.items():
        if value.ndim != 3 or (name == "partner" and not float(item.get("has_partner", 1))):
            continue
        pixels = np.ascontiguousarray(value.permute(1, 2, 0).numpy()).astype(np.uint8)
        if name == "mask" and "image" in found:
            found["with hole"] = np.where(pixels == 1, np.uint8(255), found["image"])
        elif name == "input" and palette is not None:
            found[name] = labels.paint(pixels[:, :, :1], palette)
        else:
            found[name] = pixels if pixels.shape[2] == 3 else np.repeat(pixels[:, :, :1], 3, axis=2)
    return found


def _parts(sequence: Sequence[Any], place: int) -> list[Part]:
    if isinstance(sequence, Subset):
        return _parts(sequence.whole, sequence.places[place])
    item = sequence.items[place] if isinstance(sequence, Cache) else None
    if isinstance(item, Path):
        return [Part(item)]
    return list(dict.fromkeys((item.input, item.target))) if isinstance(item, Pair) else []


def _length(dataset: Sourced) -> int:
    return max((len(sequence) for sequence, _ in dataset.sources(0)), default=0)


def _shape(part: Part, crop: int) -> list[str]:
    size = next(sizes.of_files([part.path], DEFAULT_MAX_PIXELS))
    if size is None:
        return []
    return odd.of_shape((size[0] // 2, size[1]) if part.half else size, crop)
