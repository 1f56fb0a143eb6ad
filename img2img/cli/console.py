"""Messages on stderr, JSON lines on stdout, and signals. stdout is for data."""

from __future__ import annotations

import json
import math
import os
import signal
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from types import FrameType
from typing import TYPE_CHECKING, Any

from img2img.text import show

if TYPE_CHECKING:
    from rich.text import Text

debug = False  # --debug was given: show tracebacks


def say(text: str) -> None:
    """Print one line on stderr. Control characters, for example of file names, are escaped."""
    print(show(text), file=sys.stderr, flush=True)


def plain(text: object) -> Text:
    """A text for rich: without markup, and escaped as by `show`. Every text that rich prints goes through here."""
    from rich.text import Text

    return Text(show(text))


def error(text: str, exception: BaseException | None = None, *, say: Callable[[str], None] = say) -> None:
    """Print `error: TEXT`, after the traceback if --debug was given. `say` prints one line."""
    if debug and exception is not None:
        import traceback

        for line in "".join(traceback.format_exception(exception)).splitlines():
            say(line)
    say(f"error: {text}")


def write_json(record: dict[str, Any]) -> None:
    """Print one JSON line on stdout. It is ASCII only, so that it works in every locale.

    NaN and infinity, which JSON does not have, become null.
    """
    sys.stdout.write(json.dumps(_finite(record), allow_nan=False) + "\n")
    sys.stdout.flush()


def _finite(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: _finite(one) for key, one in value.items()}
    if isinstance(value, list | tuple):
        return [_finite(one) for one in value]
    return None if isinstance(value, float) and not math.isfinite(value) else value


def is_terminal() -> bool:
    """Whether stderr is a terminal that can redraw a line."""
    return sys.stderr.isatty() and os.environ.get("TERM") != "dumb"


@contextmanager
def signals() -> Iterator[None]:
    """Treat SIGTERM as Ctrl-C inside the block. A second signal ends the process at once."""

    def interrupt(number: int, frame: FrameType | None) -> None:
        for one in before:
            signal.signal(one, signal.SIG_DFL)
        raise KeyboardInterrupt

    # Keep ignored signals (background jobs of a shell) and the handlers of a program that embeds `main`.
    usual = (signal.SIG_DFL, signal.default_int_handler)
    before = {one: now for one in (signal.SIGINT, signal.SIGTERM) if (now := signal.getsignal(one)) in usual}
    for one in before:
        signal.signal(one, interrupt)
    try:
        yield
    finally:
        for one, handler in before.items():
            signal.signal(one, handler)
