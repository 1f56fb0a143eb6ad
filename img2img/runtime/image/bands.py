"""Encodes a picture in bands of rows on several threads, also while later rows are still being computed."""

from __future__ import annotations

import os
from abc import ABC, abstractmethod
from collections import deque
from concurrent.futures import Future
from types import TracebackType
from typing import Generic, Self, TypeVar

from img2img.pool import Pool

MOST_THREADS = 8
WAITING = 2  # encoded bands for each thread that may wait to be written

Band = TypeVar("Band")


class BandEncoder(ABC, Generic[Band]):
    """Encodes bands in threads and writes them from top to bottom.

    A subclass says how to encode and to write a band. The stream is only used in the thread that calls the methods
    below. No thread is left after `finish` and `abort`. As a context manager, it finishes at the end of the block, and
    aborts on an exception:

        with PngEncoder(stream, (canvas,)) as encoder:
            for bottom in compute_rows_of(canvas):
                encoder.rows_ready(bottom)

    Args:
        height: number of rows of the picture.
        band_rows: number of rows of a band; the last one may have fewer.
        threads: None: one for each core, at most MOST_THREADS.
    """

    def __init__(self, height: int, band_rows: int, threads: int | None = None) -> None:
        self.height = height
        self.band_rows = band_rows
        self._threads = threads or min(_cores(), MOST_THREADS)
        self._next = 0  # the first row of the next band
        self._pool: Pool | None = None
        self._pending: deque[Future[Band]] = deque()

    @abstractmethod
    def encode_band(self, top: int, bottom: int) -> Band:
        """Encode the rows from `top` to before `bottom`. Runs in several threads at the same time."""

    @abstractmethod
    def write_band(self, band: Band) -> None:
        """Write the next encoded band."""

    @abstractmethod
    def write_end(self) -> None:
        """Write what follows the last band."""

    def rows_ready(self, count: int) -> None:
        """The first `count` rows are final: start to encode them. Never waits; writes the bands that are encoded.

        Raises:
            Exception: what encoding or writing a band raised. Call `abort` then.
        """
        while self._next < self.height and min(self._next + self.band_rows, self.height) <= count:
            self._submit()
        while self._pending and self._pending[0].done():
            self.write_band(self._pending.popleft().result())

    def finish(self) -> None:
        """All rows are final: encode and write the rest.

        Raises:
            BaseException: as `rows_ready`, or KeyboardInterrupt; the encoder has been aborted.
        """
        try:
            if self._pool is None and (self._threads == 1 or self.height <= self.band_rows):
                while self._next < self.height:  # here, without a thread
                    self.write_band(self.encode_band(*self._take()))
            while self._next < self.height:
                self._submit()
                if len(self._pending) >= self._threads * WAITING:
                    self.write_band(self._pending.popleft().result())
            while self._pending:
                self.write_band(self._pending.popleft().result())
            self.write_end()
        finally:
            self.abort()

    def abort(self) -> None:
        """Drop what is not written. Waits for the bands that are being encoded: some hundredths of a second."""
        self._next = self.height
        self._pending.clear()
        if self._pool is not None:
            self._pool.shutdown(wait=True, cancel_futures=True)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        if kind is None:
            self.finish()
        else:
            self.abort()

    def _take(self) -> tuple[int, int]:
        """The first row of the next band, and the one after its last."""
        top, self._next = self._next, min(self._next + self.band_rows, self.height)
        return top, self._next

    def _submit(self) -> None:
        if self._pool is None:
            self._pool = Pool(self._threads, thread_name_prefix="encode")
        self._pending.append(self._pool.submit(self.encode_band, *self._take()))


def _cores() -> int:
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
