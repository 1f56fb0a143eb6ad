"""Ctrl-C and SIGTERM as a request to stop after the current step."""

import signal
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass


@dataclass
class StopRequest:
    """Whether the user has asked to stop."""

    is_set: bool = False


@contextmanager
def stop_signals() -> Iterator[StopRequest]:
    """Handle Ctrl-C and SIGTERM: the first one requests a stop after the current step, the second one interrupts it."""
    stop = StopRequest()

    def ask(signum: int, frame: object) -> None:
        if stop.is_set:
            raise KeyboardInterrupt
        stop.is_set = True

    before = {}
    try:
        for number in (signal.SIGINT, signal.SIGTERM):
            before[number] = signal.signal(number, ask)
    except ValueError:  # not in the main thread, which handles signals itself
        pass
    try:
        yield stop
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
