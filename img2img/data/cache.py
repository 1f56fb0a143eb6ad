"""Decoded pictures, held in memory while they fit."""

import os
import threading
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any, Generic, TypeVar

import numpy as np
import psutil  # type: ignore[import-untyped]
from numpy.typing import NDArray
from pydantic import Field, NonNegativeInt

from img2img.errors import DataError, PictureError
from img2img.section import Section

Item = TypeVar("Item")
Value = TypeVar("Value", bound=NDArray[Any] | tuple[NDArray[Any], ...])

MEGABYTE = 2**20


class CachedData(Section):
    """The setting of a cache, for a data section to build on."""

    cache_mb: NonNegativeInt | None = Field(
        default=None, description="memory for decoded pictures; none: a quarter of what is free, 4096 at most"
    )


class Cache(Sequence[Value], Generic[Item, Value]):
    """`read(item)` for each of `items`, as a sequence.

    Every item is read once when the cache is made, so that broken files are found before the first step. What fits
    into the limit is kept; the rest is read again whenever it is asked for. Worker processes that are forked from this
    one share what is kept.

    Args:
        items: what `read` takes, file names for example.
        read: gives an array or a tuple of arrays, and always the same for the same item.
        limit_mb: megabytes to keep; None: a quarter of the free memory, 4096 at most.

    Raises:
        DataError: an item cannot be read; the first five are named. Also later, when a file that could be read at
            the start no longer can.
    """

    def __init__(self, items: Sequence[Item], read: Callable[[Item], Value], *, limit_mb: int | None = None) -> None:
        self.items = items
        self._read = read
        self._kept: dict[int, Value] = {}
        limit = (limit_mb if limit_mb is not None else default_limit_mb()) * MEGABYTE
        lock = threading.Lock()
        room = limit

        def check(place: int) -> str | None:
            nonlocal room
            try:
                value = read(items[place])
            except (PictureError, DataError) as error:
                return str(error)
            with lock:
                size = _bytes(value)
                if size <= room:
                    room -= size
                    self._kept[place] = value
            return None

        # Decoders and Pillow's resize let go of the interpreter lock.
        with ThreadPoolExecutor(min(os.cpu_count() or 1, 16)) as pool:
            broken = [fault for fault in pool.map(check, range(len(items))) if fault is not None]
        if broken:
            many = f"{len(broken)} pictures cannot be used; move or mend them: " if len(broken) > 1 else ""
            more = "; ..." if len(broken) > 5 else ""
            raise DataError(many + "; ".join(broken[:5]) + more)
        self.kept_bytes = limit - room

    def __len__(self) -> int:
        return len(self.items)

    def __getitem__(self, place: Any) -> Any:
        if isinstance(place, slice):
            return [self[one] for one in range(*place.indices(len(self)))]
        place = range(len(self))[place]
        if place in self._kept:
            return self._kept[place]
        try:
            return self._read(self.items[place])
        except (PictureError, DataError) as error:
            raise DataError(f"{error}; it could be read when the run started") from error

    @property
    def kept(self) -> int:
        """How many of the items are held in memory."""
        return len(self._kept)

    @property
    def note(self) -> str | None:
        """What a person should hear where not everything fits into memory."""
        if self.kept == len(self):
            return None
        kept = f"{self.kept} of {len(self)} decoded pictures fit into {self.kept_bytes / MEGABYTE:.0f} MB of memory"
        return f"{kept}; the others are decoded again each time (data.cache_mb)"


def read_all(items: Sequence[Item], read: Callable[[Item], Value]) -> list[Value]:
    """`read(item)` for each of `items`, all kept; errors as of a Cache."""
    return list(Cache(items, read, limit_mb=2**40))


def default_limit_mb() -> int:
    """A quarter of the free memory, 4096 at most, in megabytes."""
    return min(4096, int(psutil.virtual_memory().available) // (4 * MEGABYTE))


def _bytes(value: NDArray[Any] | tuple[NDArray[Any], ...]) -> int:
    return sum(np.asarray(part).nbytes for part in (value if isinstance(value, tuple) else (value,)))
