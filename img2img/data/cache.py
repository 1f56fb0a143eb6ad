"""Caches decoded pictures in memory, up to a limit."""

import os
import threading
from collections.abc import Callable, Sequence
from typing import Any, Generic, TypeVar

import numpy as np
import psutil
from numpy.typing import NDArray
from pydantic import Field, NonNegativeInt, PositiveInt

from img2img.errors import DataError, PictureError
from img2img.pool import Pool
from img2img.section import Section

Item = TypeVar("Item")
Value = TypeVar("Value", bound=NDArray[Any] | tuple[NDArray[Any], ...])

MEGABYTE = 2**20
SHOWN = 2
"""Number of faulty pictures that a message describes."""


class CachedData(Section):
    """Base of data sections: how pictures are read and kept."""

    white: int | None = Field(
        default=None,
        ge=1,
        le=65535,
        description="value of white in 16-bit pictures, such as 4095 for 12 bits stored in 16; none: 65535",
    )

    max_pixels: PositiveInt | None = Field(
        default=None, description="refuse pictures with more pixels; none: 200 million (--max-pixels sets it)"
    )

    cache_mb: NonNegativeInt | None = Field(
        default=None,
        description="memory limit in MB for decoded pictures; none: a quarter of free memory, at most 4096",
    )


class Cache(Sequence[Value], Generic[Item, Value]):
    """`read(item)` for each of `items`, as a sequence.

    The constructor reads every item once, so that broken files are found before the first step. It keeps what fits into
    the limit; other items are read again on each access. Forked worker processes share the kept items.

    Args:
        items: arguments of `read`, for example file names.
        read: returns an array or a tuple of arrays, always the same for the same item.
        limit_mb: megabytes to keep; None: a quarter of the free memory, at most 4096.

    Raises:
        DataError: an item cannot be read; the message names the first two. Also raised later, if a file that was
            readable at the start no longer is.
    """

    def __init__(self, items: Sequence[Item], read: Callable[[Item], Value], *, limit_mb: int | None = None) -> None:
        self.items = items
        self._read = read
        self._kept: dict[int, Value] = {}
        limit = (limit_mb if limit_mb is not None else default_limit_mb()) * MEGABYTE
        lock = threading.Lock()
        remaining = limit

        def check(place: int) -> str | None:
            nonlocal remaining
            try:
                value = read(items[place])
            except (PictureError, DataError) as error:
                return str(error)
            with lock:
                size = _bytes(value)
                if size <= remaining:
                    remaining -= size
                    self._kept[place] = value
            return None

        # Threads help because decoders and Pillow's resize release the interpreter lock.
        with Pool(min(os.cpu_count() or 1, 16)) as pool:
            broken = [fault for fault in pool.map(check, range(len(items))) if fault is not None]
        if broken:
            many = f"{len(broken)} pictures cannot be used: " if len(broken) > 1 else ""
            more = f"; and {len(broken) - SHOWN} more ('img2img data check' lists all)" if len(broken) > SHOWN else ""
            raise DataError(many + "; ".join(broken[:SHOWN]) + more)
        self.kept_bytes = limit - remaining

    def __len__(self) -> int:
        return len(self.items)

    def __getitem__(self, place: Any) -> Any:
        if isinstance(place, slice):
            return [self[index] for index in range(*place.indices(len(self)))]
        place = range(len(self))[place]
        if place in self._kept:
            return self._kept[place]
        try:
            return self._read(self.items[place])
        except (PictureError, DataError) as error:
            raise DataError(f"{error}; it was readable when the run started") from error

    @property
    def kept(self) -> int:
        """Number of items in memory."""
        return len(self._kept)

    @property
    def note(self) -> str | None:
        """A sentence for the user if not all items fit into memory, otherwise None."""
        if self.kept == len(self):
            return None
        kept = f"{self.kept} of {len(self)} decoded pictures fit into memory ({self.kept_bytes / MEGABYTE:.0f} MB)"
        return f"{kept}; the others are decoded on each use (raise data.cache_mb to keep more)"


def read_all(items: Sequence[Item], read: Callable[[Item], Value]) -> list[Value]:
    """Read and keep every item. Errors are those of `Cache`."""
    return list(Cache(items, read, limit_mb=2**40))


def default_limit_mb() -> int:
    """Return a quarter of the free memory, at most 4096, in megabytes."""
    return min(4096, int(psutil.virtual_memory().available) // (4 * MEGABYTE))


def _bytes(value: NDArray[Any] | tuple[NDArray[Any], ...]) -> int:
    return sum(np.asarray(part).nbytes for part in (value if isinstance(value, tuple) else (value,)))
