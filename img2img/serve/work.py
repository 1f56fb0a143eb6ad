"""The work on one request: how far it is, and how others end it."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from img2img.runtime.batch.event import Cancelled
from img2img.threads import Cores

POLL = 0.2  # seconds between looks at whether the work should end


class Work:
    """Progress of one request. The thread that works reports it, and other threads read it or cancel the work.

    Attributes:
        about: a few words for the log: the model and the sizes.
        results: number of results that the request makes; progress is shared out evenly among them.
    """

    def __init__(self) -> None:
        self.about = ""
        self.results = 1
        self.began: float | None = None
        self._waited = 0.0  # seconds for the network, after a thread began
        self._waits_since: float | None = None
        self._finished = 0  # results
        self._pixels = self._done = 0  # of the current result
        self._cancelled = False
        self._interrupt: Callable[[], None] | None = None
        self._lock = threading.Lock()

    @property
    def seconds(self) -> float:
        """Time that a thread has worked on it, without the time that it waited for the network."""
        if self.began is None:
            return 0.0
        since = self._waits_since
        until = time.monotonic() if since is None else since
        return until - self.began - self._waited

    @property
    def is_waiting(self) -> bool:
        """Whether it waits for a thread, or for the network."""
        return self.began is None or self._waits_since is not None

    @property
    def share(self) -> float:
        """The share of the work that is done, 0..1."""
        now = self._done / self._pixels if self._pixels else 0.0
        return min(1.0, max(0.0, (self._finished + now) / self.results))

    def begin(self, index: int, pixels: int) -> None:
        """A result is started. Raises Cancelled."""
        self.check()
        self._pixels, self._done, self._finished = pixels, 0, index

    def advance(self, index: int, pixels: int) -> None:
        """A tile is finished. Raises Cancelled."""
        self.check()
        self._done += pixels

    @contextmanager
    def waiting(self) -> Iterator[None]:
        """Within the block, the clock of `seconds` stands still."""
        began = self._waits_since = time.monotonic()
        try:
            yield
        finally:
            self._waited += time.monotonic() - began
            self._waits_since = None

    def check(self) -> None:
        """Raise Cancelled once the work is cancelled."""
        if self._cancelled:
            raise Cancelled

    @property
    def is_cancelled(self) -> bool:
        return self._cancelled

    def cancel(self) -> None:
        """End the work at the next tile, and the current run of the network. Call it again while the work goes on."""
        self._cancelled = True
        with self._lock:
            if self._interrupt is not None:
                self._interrupt()

    @contextmanager
    def interruptible(self, interrupt: Callable[[], None]) -> Iterator[None]:
        """Within the block, `cancel` calls `interrupt`."""
        with self._lock:
            self._interrupt = interrupt
        try:
            yield
        finally:
            with self._lock:  # so that it never ends a run of somebody else's
                self._interrupt = None


class Turn:
    """The right to run a network: one request has it at a time, so that a device runs one network at a time."""

    def __init__(self) -> None:
        self._lock = threading.Lock()

    @contextmanager
    def taken(self, work: Work, cores: Cores, interrupt: Callable[[], None]) -> Iterator[None]:
        """Wait for the turn and hold it within the block. Raises Cancelled if the work is cancelled meanwhile."""
        with work.waiting():
            while not self._lock.acquire(timeout=POLL):
                work.check()
        try:
            work.check()
            with cores.busy(), work.interruptible(interrupt):
                yield
        finally:
            self._lock.release()
