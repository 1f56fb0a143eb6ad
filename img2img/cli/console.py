"""What a command has around it: messages on stderr, data on stdout, signals, and streams that may be closed or full."""

from __future__ import annotations

import json
import math
import os
import signal
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from types import FrameType
from typing import IO, TYPE_CHECKING, Any

from img2img.errors import Img2ImgError
from img2img.text import show

if TYPE_CHECKING:
    from rich.text import Text

debug = False  # --debug was given: show tracebacks

_STREAMS = ("stdin", "stdout", "stderr")


class StreamError(Img2ImgError):
    """Standard output cannot be written: its disk is full, for example."""


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


@contextmanager
def safe_streams() -> Iterator[None]:
    """Inside the block, closed standard streams are /dev/null, and writing to the others cannot crash.

    Writing to stdout raises StreamError, or BrokenPipeError if its reader has gone. What stderr does not take is lost:
    there is no other place to report it.
    """
    _open_closed_ones()
    before = sys.stdout, sys.stderr
    sys.stdout, sys.stderr = _Safe(sys.stdout), _Safe(sys.stderr, forgiving=True)
    try:
        yield
    finally:
        sys.stdout, sys.stderr = before


def forget(stream: IO[Any]) -> None:
    """Redirect a stream to nowhere, so that the interpreter's last flush of what it still holds does not fail too."""
    with suppress(OSError, ValueError):  # a stream in memory has no descriptor
        nowhere = os.open(os.devnull, os.O_WRONLY)
        os.dup2(nowhere, stream.fileno())
        os.close(nowhere)


def _open_closed_ones() -> None:
    for number, name in enumerate(_STREAMS):
        flags = os.O_RDONLY if number == 0 else os.O_WRONLY
        with suppress(OSError):
            try:
                os.fstat(number)
            except OSError:
                # The lowest free number, which is this one. Otherwise, the next file that is opened would get it, and
                # a library that prints would write into that file.
                os.open(os.devnull, flags)
        if getattr(sys, name) is None:
            mode = "r" if number == 0 else "w"
            setattr(sys, name, open(os.devnull, mode, encoding="utf-8"))  # noqa: SIM115, PTH123  # for good


class _Safe:
    """A stream that reports or forgives failures to write. Everything else is the stream's own."""

    def __init__(self, stream: Any, *, forgiving: bool = False) -> None:
        self._stream = stream
        self._forgiving = forgiving

    def __getattr__(self, name: str) -> Any:
        found = getattr(self._stream, name)
        return _Safe(found, forgiving=self._forgiving) if name in ("buffer", "raw") else found

    def __iter__(self) -> Any:
        return iter(self._stream)

    def write(self, data: Any) -> Any:
        if data == "":  # Click tests streams in this way, and would hide that the disk is full
            return 0
        try:
            return self._stream.write(data)
        except UnicodeEncodeError:  # the locale lacks a character, or a name has bytes that are no text
            encoding = self._stream.encoding
            return self.write(data.encode(encoding, "backslashreplace").decode(encoding))
        except OSError as error:
            return self._failed(error, data)

    def writelines(self, lines: Any) -> None:
        for line in lines:
            self.write(line)

    def flush(self) -> None:
        try:
            self._stream.flush()
        except OSError as error:
            self._failed(error, "")

    def _failed(self, error: OSError, data: Any) -> int:
        forget(self._stream)
        if self._forgiving:
            return len(data)
        if isinstance(error, BrokenPipeError):
            raise error
        raise StreamError(f"cannot write standard output: {error.strerror or error}") from error
