"""The standard streams of the process, made safe: closed ones are /dev/null, and a full disk is an error of ours."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from typing import IO, Any

from img2img.errors import Img2ImgError

_NAMES = ("stdin", "stdout", "stderr")


class StreamError(Img2ImgError):
    """Standard output cannot be written: its disk is full, for example."""


@contextmanager
def streams() -> Iterator[None]:
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
    for number, name in enumerate(_NAMES):
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
