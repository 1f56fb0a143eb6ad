"""Starts threads. That fails where a limit on processes, or on memory, is reached."""

import threading
from collections.abc import Callable

from img2img.errors import Img2ImgError


class NoThreads(Img2ImgError):
    """The system gives this process no more threads."""

    def __init__(self) -> None:
        super().__init__("the system starts no more threads: raise the limit (ulimit -u), or end other programs")


def start(target: Callable[[], object], *, name: str, daemon: bool = False) -> threading.Thread:
    """Start a thread that calls `target`. Raises NoThreads."""
    thread = threading.Thread(target=target, name=name, daemon=daemon)
    start_thread(thread)
    return thread


def start_thread(thread: threading.Thread) -> None:
    """Start a thread. Raises NoThreads."""
    try:
        thread.start()
    except (RuntimeError, MemoryError) as error:
        raise NoThreads from error
