"""Raw video through a network: frames of one size from one pipe into another, read | run | written at once."""

import threading
import time
from collections import deque
from collections.abc import Callable, Iterator
from concurrent.futures import Future, wait
from queue import SimpleQueue
from typing import Any, BinaryIO, TypeVar

import numpy as np
import numpy.typing as npt

from img2img.errors import PictureError
from img2img.runtime.image.depth import to_8_bits
from img2img.runtime.image.pictures import Picture

Frame = npt.NDArray[np.uint8]  # [H, W, 3]: ffmpeg's rgb24

DEPTH = 2  # frames read ahead of the network, and frames behind it that are not written yet
POLL = 0.2  # seconds after which a wait looks around; without, Ctrl-C would not be heard on Windows
GRACE = 1.0  # seconds that Ctrl-C gives the frame that is being written, so that the reader gets it whole
NAP = 0.002  # seconds until a pipe that somebody has made non-blocking is tried again


def stream(
    size: tuple[int, int],
    apply: Callable[[Picture], Picture],
    *,
    source: BinaryIO,
    sink: BinaryIO,
    on_frame: Callable[[Picture], None] | None = None,
) -> int:
    """Send every frame of a video through `apply`; return how many there were.

    While `apply` works, in the calling thread, on one frame, threads read the next ones and write the last ones: the
    network waits for a pipe only where the pipe is slower. Order is kept, every frame is flushed, and memory does not
    grow with the length: at most `DEPTH` frames are read ahead and `DEPTH` results wait to be written.

    Args:
        size: width and height of the frames that come in.
        apply: gets frames as 8-bit RGB pictures. Its results must all have the size of the first.
        source: frames without anything between them, rgb24: 3 bytes a pixel, rows from the top. Unbuffered streams
            are best (`sys.stdin.buffer.raw`): a buffered one that hangs in a read cannot be closed at exit.
        sink: takes the results, rgb24. It is not closed.
        on_frame: told of every result, in the calling thread, when it is handed on to be written.

    Raises:
        PictureError: no frame came; the last one is cut off; a result has another size; reading or writing fails.
        BrokenPipeError: whoever reads `sink` has gone.
        Whatever `apply` and `on_frame` raise.

    After an error in reading or in `apply` all frames before it are written, whole, before it is raised. After one in
    writing nothing more is written. On KeyboardInterrupt results that wait are dropped. After any of them up to
    `DEPTH` frames more may be taken from `source`.
    """
    reader, writer = _Lane("read frames"), _Lane("write frames")
    frames = read_frames(source, size)
    ahead = deque(reader.submit(next, frames, None) for _ in range(DEPTH))
    behind: deque[Future[None]] = deque()

    def reap(room: int) -> None:
        """Take note of what is written, raise what went wrong there; wait until no more than `room` are not."""
        while behind and (len(behind) > room or behind[0].done()):
            while not _done(behind[0]):
                pass
            behind.popleft().result()

    count = 0
    first: tuple[int, int] | None = None
    try:
        while True:
            while not _done(ahead[0]):
                reap(DEPTH)  # a reader that has gone is noticed even where no frame comes any more
            frame = ahead.popleft().result()
            if frame is None:
                reap(0)
                return count
            ahead.append(reader.submit(next, frames, None))
            result = apply(Picture(frame))
            first = first or result.size
            if result.size != first:
                raise PictureError(f"frame {count + 1} became {_shape(result.size)}, those before it {_shape(first)}")
            reap(DEPTH - 1)
            behind.append(writer.submit(write_frame, sink, result))
            count += 1
            if on_frame is not None:
                on_frame(result)
    except Exception:
        while wait(behind, POLL).not_done:
            pass
        raise
    except BaseException:
        for future in behind:
            future.cancel()
        wait(behind, GRACE)
        raise
    finally:
        reader.close()
        writer.close()


def read_frames(source: BinaryIO, size: tuple[int, int]) -> Iterator[Frame]:
    """The frames of `source`, each in memory of its own, uint8 [H, W, 3]; `size` is width and height.

    Raises PictureError where there is no frame, the last one is cut off, or reading fails.
    """
    width, height = size
    count = 0
    while True:
        frame = np.empty((height, width, 3), np.uint8)
        try:
            missing = _fill(source, frame.data.cast("B"))
        except OSError as error:
            raise PictureError(
                f"cannot read standard input: {error.strerror or error}, after {_frames(count)}"
            ) from error
        if missing == frame.nbytes and count:
            return
        if missing == frame.nbytes:
            raise PictureError(f"standard input is empty: no frame of {_shape(size)} came")
        if missing:
            raise PictureError(
                f"standard input ends within a frame: {missing} of {frame.nbytes} bytes are missing after"
                f" {_frames(count)}; are they {_shape(size)} pixels, rgb24?"
            )
        count += 1
        yield frame
        del frame


def write_frame(sink: BinaryIO, picture: Picture) -> None:
    """Write a picture as rgb24 and flush: 16 bits become 8, grey becomes three equal channels.

    Raises BrokenPipeError where nobody reads any more, PictureError for what else goes wrong.
    """
    colour = picture.colour if picture.colour.dtype == np.uint8 else to_8_bits(picture.colour)
    rest = np.ascontiguousarray(np.broadcast_to(colour, (*colour.shape[:2], 3))).data.cast("B")
    try:
        while rest:
            written = sink.write(rest)
            if written is None:
                time.sleep(NAP)
            else:
                rest = rest[written:]
        sink.flush()
    except BrokenPipeError:
        raise
    except OSError as error:
        raise PictureError(f"cannot write to standard output: {error.strerror or error}") from error


def _fill(source: BinaryIO, rest: memoryview) -> int:
    """Read until `rest` is full (a pipe gives a part a read) or the stream ends; the number of bytes missing."""
    while rest:
        got = source.readinto(rest)  # type: ignore[attr-defined]  # all binary streams have it; BinaryIO forgets it
        if got is None:
            time.sleep(NAP)
        elif got == 0:
            break
        else:
            rest = rest[got:]
    return len(rest)


def _done(future: Future[Any]) -> bool:
    """Wait for a moment; whether it is done."""
    return bool(wait([future], POLL).done)


def _shape(size: tuple[int, int]) -> str:
    return f"{size[0]}x{size[1]}"


def _frames(count: int) -> str:
    return "1 whole frame" if count == 1 else f"{count} whole frames"


_T = TypeVar("_T")


class _Lane:
    """A thread that does one call after the other, until one fails.

    Unlike an executor's thread it does not keep the process from ending when it hangs in a pipe.
    """

    def __init__(self, name: str) -> None:
        self._calls: SimpleQueue[tuple[Future[Any], Callable[..., Any], tuple[Any, ...]] | None] = SimpleQueue()
        threading.Thread(target=self._run, name=name, daemon=True).start()

    def submit(self, function: Callable[..., _T], *arguments: Any) -> Future[_T]:
        """Its result, or its exception; cancelled where a call before it has failed."""
        future: Future[_T] = Future()
        self._calls.put((future, function, arguments))
        return future

    def close(self) -> None:
        """End the thread after the calls that wait."""
        self._calls.put(None)

    def _run(self) -> None:
        failed = False
        while (call := self._calls.get()) is not None:
            future, function, arguments = call
            if failed:
                future.cancel()
            if future.set_running_or_notify_cancel():
                try:
                    future.set_result(function(*arguments))
                except BaseException as error:  # raised again where the result is taken
                    failed = True
                    future.set_exception(error)
            del call, future, arguments  # or the last frame would stay while the thread waits
