"""Speaking to a person on stderr, and listening to signals. stdout is for data."""

from __future__ import annotations

import os
import signal
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from types import FrameType

from img2img.text import show

debug = False  # --debug was given: show tracebacks


def say(text: str) -> None:
    """One line on stderr. Whatever is in `text`, no control character of a file name reaches the terminal."""
    print(show(text), file=sys.stderr, flush=True)


def error(text: str, exception: BaseException | None = None, *, say: Callable[[str], None] = say) -> None:
    """`error: TEXT`, before it the traceback where --debug asks for it. `say` takes one line."""
    if debug and exception is not None:
        import traceback

        for line in "".join(traceback.format_exception(exception)).splitlines():
            say(line)
    say(f"error: {text}")


def is_terminal() -> bool:
    """Somebody is watching stderr, on a terminal that can redraw a line."""
    return sys.stderr.isatty() and os.environ.get("TERM") != "dumb"


@contextmanager
def signals() -> Iterator[None]:
    """Within the block SIGTERM is a Ctrl-C; a second one ends the process at once, whatever it is busy with."""

    def interrupt(number: int, frame: FrameType | None) -> None:
        for one in before:
            signal.signal(one, signal.SIG_DFL)
        raise KeyboardInterrupt

    # Left alone where it is ignored (a background job of a shell), or somebody who embeds `main` has a handler.
    usual = (signal.SIG_DFL, signal.default_int_handler)
    before = {one: now for one in (signal.SIGINT, signal.SIGTERM) if (now := signal.getsignal(one)) in usual}
    for one in before:
        signal.signal(one, interrupt)
    try:
        yield
    finally:
        for one, handler in before.items():
            signal.signal(one, handler)


def forget_stdout() -> None:
    """Point stdout nowhere, so that the interpreter's last flush does not fail as well."""
    os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
