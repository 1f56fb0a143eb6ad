"""Ctrl-C and SIGTERM as a request to stop: at once where nothing is lost, otherwise after the current step."""

import signal
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor


class Stopped(BaseException):
    """The user has asked to stop. Raised inside `StopRequest.at_once`. No `except Exception` catches it."""


@dataclass
class StopRequest:
    """Whether the user has asked to stop."""

    is_set: bool = False
    _at_once: bool = False

    @contextmanager
    def at_once(self) -> Iterator[None]:
        """Raise Stopped inside the block when the user asks to stop, also if that was before.

        For work that may be abandoned anywhere. A call into native code, such as one layer of a network, is finished
        first.
        """
        self._at_once = True
        try:
            if self.is_set:
                raise Stopped
            yield
        finally:
            self._at_once = False

    def ask(self) -> None:
        """Note the request. Raises Stopped inside `at_once`, and KeyboardInterrupt if this is the second request."""
        if self.is_set:
            raise KeyboardInterrupt
        self.is_set = True
        if self._at_once:
            raise Stopped


@contextmanager
def stop_signals() -> Iterator[StopRequest]:
    """Handle Ctrl-C and SIGTERM: the first one requests a stop, the second one interrupts whatever happens."""
    stop = StopRequest()

    def ask(signum: int, frame: object) -> None:
        stop.ask()

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


@contextmanager
def signals_during_backward() -> Iterator[None]:
    """Let signals be handled between the layers of the backward passes inside the block.

    Python handles them between two of its instructions, and a backward pass on the CPU is one call. A hook that does
    nothing at the output of each layer adds instructions.
    """

    def add_hook(module: torch.nn.Module, inputs: Any, output: Any) -> None:
        if isinstance(output, Tensor) and output.requires_grad:
            output.register_hook(_do_nothing)  # type: ignore[no-untyped-call]

    handle = torch.nn.modules.module.register_module_forward_hook(add_hook)
    try:
        yield
    finally:
        handle.remove()


def _do_nothing(gradient: Tensor) -> None:
    pass
