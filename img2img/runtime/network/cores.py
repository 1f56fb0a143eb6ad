"""Shares the cores of the machine between pictures, and between the tiles of one picture."""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from typing import TypeVar

T = TypeVar("T")


class Cores:
    """Counts the threads that run a network at the same time: one for each picture in work, and helpers.

    A picture that is cut into tiles gets helpers while cores are idle. Pictures come first: a helper leaves after its
    tile if a new picture needs the core. Nothing here waits.

    Attributes:
        count: maximum number of useful simultaneous runs of the network.
        split: True: a run uses the idle cores as well. False: a run has one thread.
    """

    def __init__(self, count: int = 1, *, split: bool = True) -> None:
        self.count = count
        self.split = split
        self._idle = count
        self._lock = threading.Lock()

    @property
    def idle(self) -> int:
        """Cores without work. Negative: more pictures and helpers than cores, so helpers should leave."""
        return self._idle

    @property
    def within_reach(self) -> int:
        """Number of cores that a picture in work can use: its own and the idle ones."""
        return max(1, min(self.count, self._idle + 1))

    @contextmanager
    def busy(self) -> Iterator[None]:
        """Occupy a core during the block."""
        self.occupy()
        try:
            yield
        finally:
            self.free()

    def occupy(self) -> None:
        """A picture starts. Its core may be busy with a tile of another picture for a moment."""
        with self._lock:
            self._idle -= 1

    def take_idle(self) -> bool:
        """Take a core if one is idle. `free` returns it."""
        with self._lock:
            if self._idle <= 0:
                return False
            self._idle -= 1
            return True

    def free(self) -> None:
        """A picture has ended, or a helper leaves."""
        with self._lock:
            self._idle += 1


def for_each(function: Callable[[T], None], things: Iterable[T], cores: Cores) -> None:
    """Call `function` with each thing in order, in this thread and in helper threads on idle cores.

    After an exception, no further calls start. The exception is raised when all threads have ended.
    """
    waiting = deque(things)
    errors: list[BaseException] = []
    helpers: list[threading.Thread] = []

    def next_one() -> bool:
        try:
            thing = waiting.popleft()
        except IndexError:
            return False
        function(thing)
        return True

    def help_out() -> None:
        try:
            while not errors and cores.idle >= 0 and next_one():
                pass
        except BaseException as error:
            errors.append(error)
        finally:
            cores.free()

    def start_helpers() -> None:
        helpers[:] = [one for one in helpers if one.is_alive()]
        while len(waiting) > 1 and len(helpers) < cores.count - 1 and cores.take_idle():
            helpers.append(threading.Thread(target=help_out, name="tiles"))
            helpers[-1].start()

    try:
        start_helpers()
        while not errors and next_one():
            start_helpers()
    except BaseException as error:
        errors.append(error)
    finally:
        for helper in helpers:
            helper.join()
    if errors:
        # Cancelled and KeyboardInterrupt take precedence over a tile that failed at the same time.
        raise next((one for one in errors if not isinstance(one, Exception)), errors[0])
