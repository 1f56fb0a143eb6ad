"""Ctrl-C and SIGTERM as a wish that the loop grants after the running step."""

import signal
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass


@dataclass
class StopRequest:
    """Whether somebody has asked to stop."""

    is_set: bool = False


@contextmanager
def stop_signals() -> Iterator[StopRequest]:
    """The first Ctrl-C or SIGTERM asks for an orderly stop after the running step; the second one interrupts it."""
    stop = StopRequest()

    def ask(signum: int, frame: object) -> None:
        if stop.is_set:
            raise KeyboardInterrupt
        stop.is_set = True

    before = {}
    try:
        for number in (signal.SIGINT, signal.SIGTERM):
            before[number] = signal.signal(number, ask)
    except ValueError:  # not the main thread: its owner stops us
        pass
    try:
        yield stop
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
