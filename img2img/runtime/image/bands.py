"""Encodes a picture in bands of rows on several threads."""

from __future__ import annotations

import os
from abc import ABC, abstractmethod
from collections import deque
from concurrent.futures import Future
from typing import Generic, TypeVar

from img2img.pool import Pool

MOST_THREADS = 8
WAITING = 2  # encoded bands for each thread that may wait to be written

Band = TypeVar("Band")


class BandEncoder(ABC, Generic[Band]):
    """Encodes bands in threads and writes them from top to bottom.

    A subclass says how to encode and to write a band. The stream is only used in the thread that calls `write_all`.

    Args:
        height: number of rows of the picture.
        band_rows: number of rows of a band; the last one may have fewer.
        threads: None: one for each core, at most MOST_THREADS.
    """

    def __init__(self, height: int, band_rows: int, threads: int | None = None) -> None:
        self.height = height
        self.band_rows = band_rows
        self._threads = threads or min(_cores(), MOST_THREADS)

    @abstractmethod
    def encode_band(self, top: int, bottom: int) -> Band:
        """Encode the rows from `top` to before `bottom`. Runs in several threads at the same time."""

    @abstractmethod
    def write_band(self, band: Band) -> None:
        """Write the next encoded band."""

    @abstractmethod
    def write_end(self) -> None:
        """Write what follows the last band."""

    def write_all(self) -> None:
        """Encode and write the picture. No thread is left afterwards.

        Raises:
            BaseException: what encoding or writing a band raised, or KeyboardInterrupt.
            NoThreads: the system gives this process no more threads.
        """
        bands = [(top, min(top + self.band_rows, self.height)) for top in range(0, self.height, self.band_rows)]
        if self._threads == 1 or len(bands) == 1:
            for band in bands:
                self.write_band(self.encode_band(*band))
        else:
            self._write_in_threads(bands)
        self.write_end()

    def _write_in_threads(self, bands: list[tuple[int, int]]) -> None:
        waiting: deque[Future[Band]] = deque()
        pool = Pool(self._threads, thread_name_prefix="encode")
        try:
            for band in bands:
                waiting.append(pool.submit(self.encode_band, *band))
                if len(waiting) >= self._threads * WAITING:
                    self.write_band(waiting.popleft().result())
            while waiting:
                self.write_band(waiting.popleft().result())
        finally:
            pool.shutdown(wait=True, cancel_futures=True)


def _cores() -> int:
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
