"""Starts threads, which fails where a limit on processes or memory is reached, waits for them, and shares the cores."""

import threading
import time
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from typing import TypeVar

from img2img.errors import Img2ImgError, ModelError

T = TypeVar("T")

_POLL = 0.2  # seconds; Windows delivers Ctrl-C only between waits that end
_GRACE = 2.0  # seconds in which a run ends after it was told to; only a single endless operator takes longer


class NoThreads(Img2ImgError):
    """The system gives this process no more threads."""

    def __init__(self) -> None:
        super().__init__("the system starts no more threads: raise the limit (ulimit -u), or end other programs")


class TookTooLong(ModelError):
    """A model did not finish in the time that it has."""


class Worker(threading.Thread):
    """A thread whose `join` may be interrupted by a signal.

    Python's own `join` then takes the thread for ended (https://github.com/python/cpython/issues/90882), and the
    process would exit while the thread still computes.
    """

    def __init__(self, target: Callable[[], object], *, name: str, daemon: bool = False) -> None:
        super().__init__(target=target, name=name, daemon=daemon)
        self._ended = threading.Event()
        self.should_end = False  # see `check`

    def run(self) -> None:
        try:
            super().run()
        finally:
            self._ended.set()

    def is_alive(self) -> bool:
        return self.ident is not None and not self._ended.is_set()

    def join(self, timeout: float | None = None) -> None:
        if self._ended.wait(timeout):
            super().join(timeout)


_abandoned: list[Worker] = []


def abandon(thread: Worker) -> None:
    """Wait no longer for a thread that a library keeps busy. It must be a daemon."""
    _abandoned.append(thread)


def are_abandoned() -> bool:
    """Whether a thread that nobody waits for still runs. Ending the interpreter would then abort the process."""
    return any(thread.is_alive() for thread in _abandoned)


def check() -> None:
    """Raise KeyboardInterrupt in a Worker that should end. To be called while waiting for what may never come."""
    thread = threading.current_thread()
    if isinstance(thread, Worker) and thread.should_end:
        raise KeyboardInterrupt


def start(target: Callable[[], object], *, name: str, daemon: bool = False) -> Worker:
    """Start a thread that calls `target`. Raises NoThreads."""
    thread = Worker(target, name=name, daemon=daemon)
    start_thread(thread)
    return thread


def start_thread(thread: threading.Thread) -> None:
    """Start a thread. Raises NoThreads."""
    try:
        thread.start()
    except (RuntimeError, MemoryError) as error:
        raise NoThreads from error


def off_main(function: Callable[[], T], *, stop: Callable[[], None] = lambda: None, deadline: float | None = None) -> T:
    """Call `function` in a thread of its own, while this thread waits and can take a Ctrl-C at any time.

    Args:
        stop: ends the function early; called on Ctrl-C and after the deadline.
        deadline: a time of `time.monotonic`.

    Raises:
        TookTooLong: the deadline has passed. Other exceptions come from the function.
    """
    found: list[T] = []
    errors: list[BaseException] = []

    def work() -> None:
        try:
            found.append(function())
        except BaseException as error:  # raised again below
            errors.append(error)

    thread = start(work, name="onnxruntime", daemon=True)
    try:
        while thread.is_alive():
            thread.join(_POLL)
            if deadline is not None and time.monotonic() > deadline and thread.is_alive():
                raise TookTooLong("it takes too long")
    except BaseException:
        stop()
        thread.join(_GRACE)
        abandon(thread)
        errors.clear()
        raise
    if not errors:
        return found[0]
    # An error that stays in the list would keep the session, through its traceback, until the interpreter ends. Then
    # onnxruntime cannot end its threads any more and aborts the process.
    error = errors.pop()
    try:
        raise error
    finally:
        del error


class Cores:
    """Counts the threads that run a network at the same time: one for each picture in work, and helpers.

    A picture that is cut into tiles gets helpers while cores are idle. Pictures come first: a helper leaves after its
    tile if a new picture needs the core. Nothing here waits.

    Attributes:
        count: maximum number of useful simultaneous runs of the network.
        split: True: a run uses the idle cores as well. False: it has one thread. See `session.load`.
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
    helpers: list[Worker] = []

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
            try:
                helpers.append(start(help_out, name="tiles"))
            except NoThreads:  # this thread does the work alone
                cores.free()
                return

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
