"""Runs onnxruntime so that Ctrl-C, a batch that stops, and a time limit can end it.

A network may contain a loop that never ends. Python handles signals in the main thread only, between two instructions,
and a call into onnxruntime is one instruction. So onnxruntime never runs in the main thread.
"""

from __future__ import annotations

import contextlib
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, TypeVar

from img2img.errors import ModelError
from img2img.text import show, show_duration
from img2img.threads import abandon, start

T = TypeVar("T")

LIMIT = 30.0
"""Seconds that probing or verifying a model may take. The pictures have some thousand pixels: large networks take a
second or two. Loading takes as long, and a little longer for large files."""

_BYTES_PER_SECOND = 10e6  # of a file that is loaded; slow disks and CUDA have more

_POLL = 0.2  # seconds; Windows delivers Ctrl-C only between waits that end
_GRACE = 2.0  # seconds in which a run ends after it was told to; only a single endless operator takes longer


class TookTooLong(ModelError):
    """A model did not finish in the time that it has."""


class StoppableSession:
    """An onnxruntime session whose runs can be ended by `stop`, by Ctrl-C and by a time limit. Threads may share it."""

    def __init__(self, session: Any) -> None:
        self._session = session
        self._deadline: float | None = None
        self._running: set[Any] = set()
        self._lock = threading.Lock()

    def __getattr__(self, name: str) -> Any:
        return getattr(self._session, name)

    def run(self, outputs: list[str] | None, feeds: dict[str, Any]) -> list[Any]:
        """Like onnxruntime's `run`. Raises TookTooLong inside `limited`, and what onnxruntime raises."""
        found: list[Any] = self._guarded(lambda options: self._session.run(outputs, feeds, options))
        return found

    def run_with_iobinding(self, binding: Any) -> None:
        """Like onnxruntime's `run_with_iobinding`."""
        self._guarded(lambda options: self._session.run_with_iobinding(binding, options))

    def stop(self) -> None:
        """End all current runs. They raise onnxruntime's exception for that."""
        with self._lock:
            for options in self._running:
                options.terminate = True

    @contextlib.contextmanager
    def limited(self, seconds: float = LIMIT) -> Iterator[None]:
        """Give all runs inside the block `seconds` together."""
        self._deadline = time.monotonic() + seconds
        try:
            yield
        except TookTooLong as error:
            raise TookTooLong(f"it does not finish within {show_duration(seconds)}") from error
        finally:
            self._deadline = None

    def _guarded(self, call: Callable[[Any], T]) -> T:
        from onnxruntime import RunOptions

        options = RunOptions()
        with self._lock:
            self._running.add(options)
        try:
            if self._deadline is None and threading.current_thread() is not threading.main_thread():
                return call(options)
            return off_main(lambda: call(options), stop=self.stop, deadline=self._deadline)
        finally:
            with self._lock:
                self._running.discard(options)


def create(model: Path | bytes, options: Any, providers: list[Any]) -> StoppableSession:
    """Create an onnxruntime session. Every session is created here, because loading a model may never end, either.

    onnxruntime computes constant parts of a network while it loads it.

    Args:
        model: the path or the content of an ONNX file.
        options: onnxruntime's `SessionOptions`.

    Raises:
        TookTooLong: it does not load in time. Other exceptions come from onnxruntime.
    """
    import onnxruntime

    # With enable_fallback, onnxruntime would replace CUDA by the CPU on its own and print a banner to stdout.
    given: dict[str, Any] = {"providers": providers, "enable_fallback": 0}
    file = model if isinstance(model, bytes) else str(model)
    seconds = LIMIT + (len(model) if isinstance(model, bytes) else _size(model)) / _BYTES_PER_SECOND

    def stop() -> None:
        if hasattr(options, "set_load_cancellation_flag"):  # new in onnxruntime 1.21
            options.set_load_cancellation_flag(True)

    try:
        session = off_main(
            lambda: onnxruntime.InferenceSession(file, options, **given), stop=stop, deadline=time.monotonic() + seconds
        )
    except TookTooLong as error:
        name = "the model" if isinstance(model, bytes) else show(model)
        raise TookTooLong(f"{name}: loading it does not finish within {show_duration(seconds)}") from error
    return StoppableSession(session)


def _size(path: Path) -> int:
    try:
        return path.stat().st_size
    except OSError:  # onnxruntime reports it
        return 0


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
