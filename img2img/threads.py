"""Starts threads. That fails where a limit on processes, or on memory, is reached."""

import threading
from collections.abc import Callable

from img2img.errors import Img2ImgError


class NoThreads(Img2ImgError):
    """The system gives this process no more threads."""

    def __init__(self) -> None:
        super().__init__("the system starts no more threads: raise the limit (ulimit -u), or end other programs")


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
