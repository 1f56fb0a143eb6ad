"""Runs raw video through a network, from one pipe to another. Reading, inference and writing overlap."""

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
from img2img.threads import start

Frame = npt.NDArray[np.uint8]  # [H, W, 3]: ffmpeg's rgb24

DEPTH = 2  # maximum frames read ahead of the network, and maximum results waiting to be written
POLL = 0.2  # seconds between checks while waiting; on Windows an unlimited wait would ignore Ctrl-C
GRACE = 1.0  # seconds after Ctrl-C to finish the current frame, so that the reader gets it whole
NAP = 0.002  # seconds between attempts on a non-blocking pipe


def stream(
    size: tuple[int, int],
    apply: Callable[[Picture], Picture],
    *,
    source: BinaryIO,
    sink: BinaryIO,
    on_frame: Callable[[Picture], None] | None = None,
) -> int:
    """Send every frame of a video through `apply`. Returns the number of frames.

    `apply` runs in the calling thread. Meanwhile, other threads read the next frames and write finished ones, so the
    network waits for a pipe only if the pipe is slower. Frames keep their order, and each one is flushed. Memory does
    not grow with the length of the video: at most `DEPTH` frames are read ahead and `DEPTH` results wait to be written.

    Args:
        size: width and height of the input frames.
        apply: gets frames as 8-bit RGB pictures. All its results must have the size of the first.
        source: contiguous rgb24 frames: 3 bytes per pixel, top row first. Prefer unbuffered streams such as
            `sys.stdin.buffer.raw`: a buffered stream that hangs in a read cannot be closed at exit.
        sink: receives the results as rgb24. It stays open.
        on_frame: called with every result, in the calling thread, when the result is queued for writing.

    Raises:
        PictureError: there is no frame, the last frame is incomplete, a result has another size, or reading or writing
            fails.
        BrokenPipeError: the reader of `sink` has closed it.
        Any exception that `apply` or `on_frame` raises.

    If reading or `apply` fails, all earlier frames are written in full before the error is raised. If writing fails,
    nothing more is written. On KeyboardInterrupt, waiting results are dropped. In each case, up to `DEPTH` further
    frames may be read from `source`.
    """
    reader, writer = _Lane("read frames"), _Lane("write frames")
    frames = read_frames(source, size)
    ahead = deque(reader.submit(next, frames, None) for _ in range(DEPTH))
    behind: deque[Future[None]] = deque()

    def reap(room: int) -> None:
        """Wait until at most `room` results are unwritten. Raises errors of the writer."""
        while behind and (len(behind) > room or behind[0].done()):
            while not _done(behind[0]):
                pass
            behind.popleft().result()

    count = 0
    first: tuple[int, int] | None = None
    try:
        while True:
            while not _done(ahead[0]):
                reap(DEPTH)  # notices a closed sink even if no more frames arrive
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
    """Yield the frames of `source` as separate uint8 arrays [H, W, 3]. `size` is width and height.

    Raises PictureError if there is no frame, the last frame is incomplete, or reading fails.
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
            raise PictureError(f"standard input is empty: it holds no frame of {_shape(size)}")
        if missing:
            raise PictureError(
                f"standard input ends within a frame: {missing} of {frame.nbytes} bytes are missing after"
                f" {_frames(count)}; are they {_shape(size)} pixels, rgb24?"
            )
        count += 1
        yield frame
        del frame


def write_frame(sink: BinaryIO, picture: Picture) -> None:
    """Write a picture as rgb24 and flush. Converts 16 bits to 8, and grey to three equal channels.

    Raises BrokenPipeError if the reader has closed the pipe, and PictureError for other failures.
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
    """Fill `rest`; a pipe may need several reads. Returns the number of missing bytes, 0 unless the stream ends."""
    while rest:
        got = source.readinto(rest)  # type: ignore[attr-defined]  # all binary streams have it; BinaryIO does not declare it
        if got is None:
            time.sleep(NAP)
        elif got == 0:
            break
        else:
            rest = rest[got:]
    return len(rest)


def _done(future: Future[Any]) -> bool:
    """Wait briefly. Returns whether the future is done."""
    return bool(wait([future], POLL).done)


def _shape(size: tuple[int, int]) -> str:
    return f"{size[0]}x{size[1]}"


def _frames(count: int) -> str:
    return "1 whole frame" if count == 1 else f"{count} whole frames"


_T = TypeVar("_T")


class _Lane:
    """A thread that runs calls one by one until a call fails.

    Unlike the thread of an executor, it does not stop the process from exiting while it hangs in a pipe.
    """

    def __init__(self, name: str) -> None:
        self._calls: SimpleQueue[tuple[Future[Any], Callable[..., Any], tuple[Any, ...]] | None] = SimpleQueue()
        start(self._run, name=name, daemon=True)

    def submit(self, function: Callable[..., _T], *arguments: Any) -> Future[_T]:
        """Queue a call. Returns the future for its result, which is cancelled if an earlier call has failed."""
        future: Future[_T] = Future()
        self._calls.put((future, function, arguments))
        return future

    def close(self) -> None:
        """End the thread after the queued calls."""
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
                except BaseException as error:  # `Future.result` raises it again
                    failed = True
                    future.set_exception(error)
            del call, future, arguments  # otherwise the last frame would stay in memory while the thread waits
