"""Processing raw video frames from one pipe into another."""

import io
import json
import os
import subprocess
import sys
import threading
import time

import numpy as np
import pytest
from conftest import environment
from hypothesis import given
from hypothesis import strategies as st

from img2img.errors import PictureError, UsageError
from img2img.runtime.batch.video import DEPTH, stream
from img2img.runtime.image.pictures import Picture

SECONDS = 10  # until a thread that should have done something is given up


def video(count, size=(4, 3), seed=0):
    """uint8 [count, H, W, 3]"""
    return np.random.default_rng(seed).integers(0, 256, (count, size[1], size[0], 3), np.uint8)


def doubled(picture):
    """Twice as large, and inverted."""
    return Picture(255 - picture.colour.repeat(2, 0).repeat(2, 1))


def through(frames, apply=doubled, size=(4, 3), **options):
    sink = io.BytesIO()
    count = stream(size, apply, source=io.BytesIO(frames), sink=sink, **options)
    return count, sink.getvalue()


class Dripping(io.RawIOBase):
    """A stream that reads and writes in pieces of the given sizes, over and over."""

    def __init__(self, data=b"", pieces=(1,)):
        self.data, self.pieces, self.turn, self.at, self.taken = data, pieces, 0, 0, bytearray()

    def _piece(self):
        self.turn += 1
        return self.pieces[self.turn % len(self.pieces)]

    def readinto(self, buffer):
        piece = self.data[self.at : self.at + min(self._piece(), len(buffer))]
        buffer[: len(piece)] = piece
        self.at += len(piece)
        return len(piece)

    def write(self, data):
        piece = bytes(data[: self._piece()])
        self.taken += piece
        return len(piece)


class Hook(io.BytesIO):
    """Calls a function with the number of the frame, from 0, before each read or write of a whole one."""

    def __init__(self, before, data=b""):
        super().__init__(data)
        self.before, self.turn = before, 0

    def _call(self):
        self.turn += 1
        self.before(self.turn - 1)

    def readinto(self, buffer):
        self._call()
        return super().readinto(buffer)

    def write(self, data):
        self._call()
        return super().write(data)


@pytest.fixture
def pipe():
    """Make a pipe of unbuffered streams, (to read, to write), closed in the end."""
    made = []

    def make():
        ends = os.pipe()
        made.extend([os.fdopen(ends[0], "rb", buffering=0), os.fdopen(ends[1], "wb", buffering=0)])
        return made[-2:]

    yield make
    for one in reversed(made):  # writing ends first, so that a thread that still reads comes back
        one.close()


# --- what comes out


@given(
    st.integers(1, 7), st.integers(1, 9), st.integers(1, 9), st.lists(st.integers(1, 50), min_size=1, max_size=5),
    st.lists(st.integers(1, 300), min_size=1, max_size=5), st.integers(0, 99),
)  # fmt: skip
def test_every_frame_comes_out_in_order_however_the_pipes_cut_them(count, width, height, reads, writes, seed):
    frames = video(count, (width, height), seed)
    source, sink = Dripping(frames.tobytes(), reads), Dripping(pieces=writes)
    assert stream((width, height), doubled, source=source, sink=sink) == count
    assert sink.taken == (255 - frames.repeat(2, 1).repeat(2, 2)).tobytes()


def test_each_result_is_told_in_order():
    told = []
    frames = video(5)
    assert through(frames.tobytes(), on_frame=told.append)[0] == 5
    assert [picture.size for picture in told] == [(8, 6)] * 5
    assert np.array_equal([picture.colour[::2, ::2] for picture in told], 255 - frames)


def test_grey_and_16_bit_results_become_rgb24():
    frames = video(2)
    _, grey = through(frames.tobytes(), lambda picture: Picture(picture.colour[..., :1]))
    assert grey == frames[..., :1].repeat(3, -1).tobytes()
    _, deep = through(frames.tobytes(), lambda picture: Picture(picture.colour.astype(np.uint16) * 257))
    assert deep == frames.tobytes()


def test_results_that_are_views_are_written_as_they_look():
    frames = video(3)
    _, mirrored = through(frames.tobytes(), lambda picture: Picture(picture.colour[:, ::-1]))
    assert mirrored == frames[:, :, ::-1].tobytes()


# --- what is wrong with the input


@pytest.mark.parametrize("whole", [0, 1, 5])
@pytest.mark.parametrize("missing", [1, 20, 35])
def test_a_cut_off_frame_is_an_error_after_all_whole_ones_are_written(whole, missing):
    frames = video(whole + 1)
    sink = io.BytesIO()
    said = f"{missing} of 36 bytes are missing after {whole} whole frame{'s' * (whole != 1)}; are they 4x3 pixels"
    with pytest.raises(PictureError, match=said):
        stream((4, 3), doubled, source=io.BytesIO(frames.tobytes()[:-missing]), sink=sink)
    assert sink.getvalue() == through(frames[:whole].tobytes())[1] if whole else not sink.getvalue()


def test_no_frame_at_all_is_an_error():
    with pytest.raises(PictureError, match="standard input is empty: it holds no frame of 4x3"):
        through(b"")


def test_a_source_that_fails_is_an_error_with_its_reason():
    def fail(turn):
        if turn == 2:
            raise OSError(5, "Input/output error")

    sink = io.BytesIO()
    with pytest.raises(PictureError, match="cannot read standard input: Input/output error, after 2 whole frames"):
        stream((4, 3), doubled, source=Hook(fail, video(5).tobytes()), sink=sink)
    assert len(sink.getvalue()) == 2 * 8 * 6 * 3


# --- what is wrong with the work or the output


def test_when_the_network_fails_the_frames_before_are_written_whole():
    turns = iter(range(9))

    def work(picture):
        if next(turns) == 3:
            raise UsageError("no")
        return doubled(picture)

    sink = io.BytesIO()
    with pytest.raises(UsageError, match="no"):
        stream((4, 3), work, source=io.BytesIO(video(9).tobytes()), sink=sink)
    assert sink.getvalue() == through(video(9)[:3].tobytes())[1]


def test_a_result_of_another_size_is_never_written():
    turns = iter(range(9))
    sink = io.BytesIO()
    with pytest.raises(PictureError, match="frame 3 became 4x3, those before it 8x6"):
        stream(
            (4, 3),
            lambda picture: picture if next(turns) == 2 else doubled(picture),
            source=io.BytesIO(video(5).tobytes()),
            sink=sink,
        )
    assert len(sink.getvalue()) == 2 * 8 * 6 * 3


def test_after_an_output_that_fails_nothing_more_is_written():
    def fail(turn):
        if turn == 1:
            raise OSError(28, "No space left on device")

    sink = Hook(fail)
    with pytest.raises(PictureError, match="cannot write to standard output: No space left on device"):
        stream((4, 3), doubled, source=io.BytesIO(video(50).tobytes()), sink=sink)
    assert sink.turn == 2 and len(sink.getvalue()) == 8 * 6 * 3


@pytest.mark.parametrize("size", [(4, 3), (200, 200)])
def test_a_closed_output_stops_the_work(pipe, size):
    read, write = pipe()
    threading.Thread(target=lambda: (read.read(10), read.close()), daemon=True).start()
    endless = Hook(lambda turn: None, video(1, size).tobytes())
    endless.before = lambda turn: endless.seek(0)
    with pytest.raises(BrokenPipeError):
        stream(size, doubled, source=endless, sink=write)


@pytest.mark.skipif(sys.platform == "win32", reason="a closed pipe is another error there")
def test_a_closed_output_is_noticed_even_where_no_more_input_comes(pipe):
    (source, feed), (read, write) = pipe(), pipe()
    read.close()
    feed.write(video(1).tobytes())
    with pytest.raises(BrokenPipeError):
        stream((4, 3), doubled, source=source, sink=write)


def test_ctrl_c_is_heard_while_both_pipes_hang(pipe):
    (source, feed), (_, write) = pipe(), pipe()
    size = (200, 200)  # its result is more than a pipe holds, and nobody reads
    threading.Thread(target=lambda: feed.write(video(2, size).tobytes()), daemon=True).start()
    turns = iter(range(9))

    def work(picture):
        if next(turns) == 1:
            raise KeyboardInterrupt
        return doubled(picture)

    began = time.monotonic()
    with pytest.raises(KeyboardInterrupt):
        stream(size, work, source=source, sink=write)
    assert time.monotonic() - began < 5


# --- side by side, and no more than that


def test_the_next_frame_is_read_while_the_network_works():
    read = [threading.Event() for _ in range(9)]
    turns = iter(range(9))

    def work(picture):
        assert read[next(turns) + 1].wait(SECONDS), "the next frame was not read"
        return doubled(picture)

    source = Hook(lambda turn: read[turn].set(), video(7).tobytes())
    assert stream((4, 3), work, source=source, sink=io.BytesIO()) == 7


def test_the_network_works_while_a_frame_is_written():
    begun = [threading.Event() for _ in range(9)]
    turns = iter(range(9))

    def work(picture):
        begun[next(turns)].set()
        return doubled(picture)

    def before(turn):
        assert turn == 6 or begun[turn + 1].wait(SECONDS), "the network waited for the frame to be written"

    assert stream((4, 3), work, source=io.BytesIO(video(7).tobytes()), sink=Hook(before)) == 7


def test_a_result_is_out_before_the_next_frame_comes_in(pipe):
    (source, feed), (read, write) = pipe(), pipe()
    answers = []

    def ask():
        for frame in video(3):
            feed.write(frame.tobytes())
            answers.append(read.read(8 * 6 * 3))
        feed.close()

    threading.Thread(target=ask, daemon=True).start()
    with io.BufferedWriter(write, 1 << 20) as sink:
        assert stream((4, 3), doubled, source=source, sink=sink) == 3
    assert b"".join(answers) == through(video(3).tobytes())[1]


def test_no_more_than_a_few_frames_are_read_ahead_or_wait_to_be_written():
    source = Hook(lambda turn: None, video(50).tobytes())
    worked, go_on = [], threading.Event()

    def work(picture):
        worked.append(source.turn)
        return doubled(picture)

    def before(turn):
        if turn == 0:
            assert go_on.wait(SECONDS)

    sink = Hook(before)
    halted = threading.Timer(0.3, lambda: (seen.extend([source.turn, len(worked)]), go_on.set()))
    seen = []
    halted.start()
    assert stream((4, 3), work, source=source, sink=sink) == 50
    read, done = seen
    assert done <= DEPTH + 1 and read <= done + DEPTH + 1


@pytest.mark.skipif(sys.platform == "win32", reason="pipes cannot be made non-blocking there")
def test_pipes_that_somebody_made_non_blocking_work(pipe):
    (source, feed), (read, write) = pipe(), pipe()
    size, got = (150, 150), []
    frames = video(3, size)
    for end in (source, write):
        os.set_blocking(end.fileno(), False)

    def ask():
        time.sleep(0.02)
        feed.write(frames.tobytes())
        feed.close()

    def take():
        time.sleep(0.05)
        while piece := read.read(1 << 20):
            got.append(piece)

    threads = [threading.Thread(target=one, daemon=True) for one in (ask, take)]
    for one in threads:
        one.start()
    assert stream(size, doubled, source=source, sink=write) == 3
    write.close()
    threads[1].join(SECONDS)
    assert b"".join(got) == (255 - frames.repeat(2, 1).repeat(2, 2)).tobytes()


MEMORY = """
import io, json, resource, time
import numpy as np
from img2img.runtime.batch.video import stream
from img2img.runtime.image.pictures import Picture

class Source(io.RawIOBase):
    left = 300 * 256 * 256 * 3
    def readinto(self, buffer):
        count = min(len(buffer), self.left, 65536)
        self.left -= count
        return count

class Sink(io.RawIOBase):
    def write(self, data):
        time.sleep(0.008)  # slower than all the rest, so that results pile up if they can
        return len(data)

peaks = []
network = lambda picture: Picture(picture.colour.repeat(4, 0).repeat(4, 1))
peak = lambda _: peaks.append(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss)
stream((256, 256), network, source=Source(), sink=Sink(), on_frame=peak)
print(json.dumps([len(peaks), peaks[29], peaks[-1]]))
"""


@pytest.mark.skipif(sys.platform != "linux", reason="ru_maxrss has other units elsewhere")
def test_memory_does_not_grow_with_the_length():
    done = subprocess.run([sys.executable, "-c", MEMORY], capture_output=True, env=environment(), check=True)
    count, early, late = json.loads(done.stdout)
    assert count == 300
    assert late - early < 8 * 1024, "kB; one result has 3 MB, all of them 900 MB"
