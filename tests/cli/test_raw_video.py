"""`--raw WxH`: videos through `upscale` and `translate`, between two real ffmpegs."""

import os
import re
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import onnx_nets
import pytest
from conftest import ROOT, Outcome, environment

from img2img.cli.raw import parse_raw
from img2img.errors import UsageError

Run = Callable[..., Outcome]

WIDTH, HEIGHT, RATE, COUNT = 48, 32, 25, 30
FRAME = WIDTH * HEIGHT * 3
RAW = ("--raw", f"{WIDTH}x{HEIGHT}", "-", "-o", "-")

pytestmark = pytest.mark.usefixtures("models", "here")
unix = pytest.mark.skipif(sys.platform == "win32", reason="signals and closed pipes are others there")


@pytest.fixture(scope="module")
def nets(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """`nearest.onnx` repeats every pixel 2 x 2 times; `same.onnx` is for translate and changes nothing."""
    folder = tmp_path_factory.mktemp("nets")
    onnx_nets.pointwise(folder / "nearest.onnx", scale=2)
    onnx_nets.pointwise(folder / "same.onnx", task="translate")
    return folder


def frames(count: int, size: tuple[int, int] = (WIDTH, HEIGHT)) -> np.ndarray:
    return np.random.default_rng(count).integers(0, 256, (count, size[1], size[0], 3), np.uint8)


# --- the option


@pytest.mark.parametrize(
    ("text", "size"), [("640x360", (640, 360)), ("1x1", (1, 1)), ("7680X4320", (7680, 4320)), ("200000x3", (200000, 3))]
)
def test_a_frame_size_is_width_x_height(text: str, size: tuple[int, int]) -> None:
    assert parse_raw(text) == size


@pytest.mark.parametrize(
    "text", ["", "x", "640", "640x", "x360", "640x360x3", "0x5", "5x0", "-4x4", "4 x4", "4x4\n", "4.0x4", "٤x٤", "4*4"]
)
def test_what_is_no_frame_size_is_refused_with_an_example(text: str) -> None:
    with pytest.raises(UsageError, match="such as 640x360"):
        parse_raw(text)


def test_frames_larger_than_pictures_may_be_are_refused() -> None:
    with pytest.raises(UsageError, match="more than 200000000 pixels"):
        parse_raw("20000x20000")
    with pytest.raises(UsageError, match="more than 99 pixels"):
        parse_raw("10x10", 99)
    assert parse_raw("10x10", 100) == (10, 10)


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["--raw", "48", "-"], "--raw 48: use the width and height"),
        (["--raw", "4x4", "a.png"], "the only input is -"),
        (["--raw", "4x4", "-", "b.png"], "the only input is -"),
        (["--raw", "4x4", "-", "-o", "out.mp4"], "-o - instead of -o out.mp4"),
        (["--raw", "4x4", "-", "--quality", "5"], "--raw does not support --quality"),
        (["--raw", "4x4", "-", "--json"], "--raw does not support --json"),
    ],
)
def test_a_usage_error_is_said_before_anything_is_read(img2img: Run, words: list[str], said: str) -> None:
    done = img2img("upscale", *words, stdin=b"")
    assert done.status == 2 and done.out == b"" and said in done.err


def test_frames_are_not_read_from_a_terminal(img2img: Run) -> None:
    done = img2img("upscale", *RAW)
    assert done.status == 2 and "stdin is a terminal" in done.err


# --- what comes out, and what is said


def test_frames_are_enlarged_by_the_model_and_their_size_is_told_once(img2img: Run, nets: Path) -> None:
    given = frames(3)
    done = img2img("upscale", *RAW, "-m", nets / "nearest.onnx", stdin=given.tobytes())
    assert done == Outcome(0, given.repeat(2, 1).repeat(2, 2).tobytes(), "frames of 96x64, rgb24\n")


@pytest.mark.parametrize(("scale", "size"), [("1", (48, 32)), ("1.5", (72, 48)), ("3", (144, 96)), ("0.31", (15, 10))])
def test_frames_have_the_wanted_scale_whatever_the_models_is(
    img2img: Run, nets: Path, scale: str, size: tuple[int, int]
) -> None:
    done = img2img("upscale", *RAW, "-m", nets / "nearest.onnx", "--scale", scale, stdin=frames(2).tobytes())
    assert done.status == 0 and done.err == "frames of {}x{}, rgb24\n".format(*size)
    assert len(done.out) == 2 * size[0] * size[1] * 3


def test_translate_takes_frames_too(img2img: Run, nets: Path) -> None:
    given = frames(3).tobytes()
    done = img2img("translate", *RAW, "-m", nets / "same.onnx", stdin=given)
    assert done == Outcome(0, given, "frames of 48x32, rgb24\n")


def test_quiet_says_nothing_even_on_a_terminal(img2img: Run, nets: Path) -> None:
    given = frames(2).tobytes()
    done = img2img("upscale", *RAW, "-m", nets / "nearest.onnx", "-q", stdin=given, terminal=True)
    assert done.status == 0 and done.err == ""


def test_a_terminal_shows_frames_and_their_speed(img2img: Run, nets: Path) -> None:
    done = img2img("upscale", *RAW, "-m", nets / "nearest.onnx", stdin=frames(2).tobytes(), terminal=True)
    lines = [line.rpartition("\r")[2].rstrip() for line in done.err.splitlines()]
    assert done.status == 0 and lines.count("frames of 96x64, rgb24") == 1
    assert re.search(r"\r1 frames?, [0-9.]+ frames/s +\r", done.err)
    assert re.fullmatch(r"2 frames of 96x64 in [0-9.]+ s \([0-9.]+ frames/s\)", lines[-1])


def test_a_cut_off_frame_gives_the_whole_ones_an_error_and_status_1(img2img: Run, nets: Path) -> None:
    given = frames(3)
    done = img2img("upscale", *RAW, "-m", nets / "nearest.onnx", "-q", stdin=given.tobytes()[:-5])
    assert done.status == 1 and done.out == given[:2].repeat(2, 1).repeat(2, 2).tobytes()
    said = f"error: standard input ends within a frame: 5 of {FRAME} bytes are missing after 2 whole frames"
    assert done.err.startswith(said) and done.err.count("\n") == 1


def test_no_frame_is_an_error_with_status_1(img2img: Run, nets: Path) -> None:
    done = img2img("upscale", *RAW, "-m", nets / "nearest.onnx", stdin=b"")
    assert done.status == 1 and done.out == b"" and "no frame of 48x32" in done.err and done.err.count("\n") == 1


# --- the process


@dataclass
class Child:
    """The command line in a process of its own, with unbuffered pipes."""

    process: subprocess.Popen[bytes]

    def __init__(self, *words: object) -> None:
        # A shell that starts the tests in the background lets them ignore Ctrl-C, and so would the child.
        before = signal.signal(signal.SIGINT, signal.default_int_handler)
        pipe = subprocess.PIPE
        try:
            self.process = subprocess.Popen(
                [sys.executable, "-m", "img2img", *map(str, words)],
                stdin=pipe, stdout=pipe, stderr=pipe, bufsize=0, env=environment(),
            )  # fmt: skip
        finally:
            signal.signal(signal.SIGINT, before)

    def give(self, data: bytes) -> None:
        assert self.process.stdin is not None and self.process.stdin.write(data) == len(data)

    def take(self, count: int) -> bytes:
        assert self.process.stdout is not None
        taken = b""
        while len(taken) < count and (piece := self.process.stdout.read(count - len(taken))):
            taken += piece
        return taken

    def end(self) -> tuple[int, str]:
        """Wait for it; its status and stderr. stdin stays open, so that nothing ends for want of input."""
        status = self.process.wait(timeout=20)
        assert self.process.stderr is not None and self.process.stdin is not None
        said = self.process.stderr.read().decode()
        self.process.stdin.close()
        return status, said


def test_a_frame_comes_out_before_the_next_one_is_given(nets: Path) -> None:
    child = Child("upscale", *RAW, "-m", nets / "nearest.onnx")
    for frame in frames(3):
        child.give(frame.tobytes())
        assert child.take(FRAME * 4) == frame.repeat(2, 0).repeat(2, 1).tobytes()
    assert child.process.stdin is not None
    child.process.stdin.close()
    assert child.end() == (0, "frames of 96x64, rgb24\n")


@unix
@pytest.mark.parametrize("name", ["SIGINT", "SIGTERM"])
def test_ctrl_c_ends_it_at_once_with_130_even_where_no_more_frames_come(nets: Path, name: str) -> None:
    child = Child("upscale", *RAW, "-m", nets / "nearest.onnx", "-q")
    child.give(frames(1).tobytes())
    assert len(child.take(FRAME * 4)) == FRAME * 4
    sent = time.monotonic()
    child.process.send_signal(getattr(signal, name))
    assert child.end() == (130, "interrupted\n")
    assert time.monotonic() - sent < 5


@unix
def test_a_reader_that_has_seen_enough_ends_it_quietly(nets: Path) -> None:
    child = Child("upscale", *RAW, "-m", nets / "nearest.onnx", "-q")
    child.give(frames(1).tobytes())
    child.take(10)
    assert child.process.stdout is not None
    child.process.stdout.close()
    child.give(frames(1).tobytes())
    assert child.end() == (1, "")  # as `img2img models | head -1`: not everything that was asked for was taken


# --- with a real ffmpeg


def ffmpeg() -> str:
    return str(pytest.importorskip("imageio_ffmpeg").get_ffmpeg_exe())


def call(*words: object) -> bytes:
    """What ffmpeg writes on stdout."""
    done = subprocess.run(
        [ffmpeg(), "-nostdin", "-v", "error", "-threads", "1", *map(str, words)], capture_output=True, check=False
    )
    assert done.returncode == 0, done.stderr.decode()
    return done.stdout


@pytest.fixture(scope="module")
def clip(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """1.2 seconds of a moving test card with a tone, H.264 and AAC."""
    path = tmp_path_factory.mktemp("clips") / "a clip.mp4"
    card = f"testsrc=size={WIDTH}x{HEIGHT}:rate={RATE}:duration={COUNT / RATE}"
    tone = f"sine=frequency=440:duration={COUNT / RATE}"
    codecs = ("-c:v", "libx264", "-crf", 10, "-pix_fmt", "yuv420p", "-c:a", "aac")
    call("-f", "lavfi", "-i", card, "-f", "lavfi", "-i", tone, *codecs, path)
    return path


def pictures(video: Path, size: tuple[int, int]) -> np.ndarray:
    """The decoded frames, uint8 [count, H, W, 3]; a video of another size gives another number of bytes."""
    data = call("-i", video, "-map", "0:v:0", "-f", "rawvideo", "-pix_fmt", "rgb24", "-")
    return np.frombuffer(data, np.uint8).reshape(-1, size[1], size[0], 3)


def facts(video: Path) -> str:
    """What ffmpeg says of a file."""
    return subprocess.run([ffmpeg(), "-i", str(video)], capture_output=True, check=False).stderr.decode()


def sound(video: Path) -> bytes:
    """A hash of the packets of the sound, as they are in the file."""
    return call("-i", video, "-map", "0:a", "-c", "copy", "-f", "hash", "-")


def piped(*commands: Sequence[object]) -> None:
    """Run them as a shell does: each one's stdout is the next one's stdin. All must end with status 0."""
    running: list[subprocess.Popen[bytes]] = []
    for words in commands:
        last = running[-1].stdout if running else subprocess.DEVNULL
        running.append(subprocess.Popen([*map(str, words)], stdin=last, stdout=subprocess.PIPE, env=environment()))
        if running[:-1]:
            last.close()  # type: ignore[union-attr]  # or nobody would notice that its reader has gone
    assert running[-1].communicate(timeout=60)[0] == b""
    assert [one.wait(timeout=20) for one in running] == [0] * len(running)


def test_a_video_is_upscaled_without_temporary_files_and_keeps_its_sound(clip: Path, nets: Path, here: Path) -> None:
    out = here / "out.mp4"
    piped(
        [ffmpeg(), "-v", "error", "-i", clip, "-f", "rawvideo", "-pix_fmt", "rgb24", "-"],
        [sys.executable, "-m", "img2img", "upscale", *RAW, "-m", nets / "nearest.onnx"],
        [
            *(ffmpeg(), "-v", "error", "-f", "rawvideo", "-pix_fmt", "rgb24", "-s", "96x64", "-r", RATE, "-i", "-"),
            *("-i", clip, "-map", "0:v", "-map", "1:a", "-c:a", "copy", "-c:v", "libx264", "-crf", 10, out),
        ],
    )
    before, after = pictures(clip, (WIDTH, HEIGHT)), pictures(out, (96, 64))
    assert len(before) == COUNT and len(after) == COUNT
    assert sound(out) == sound(clip)
    # Frame by frame the same picture, within what H.264 loses: the card moves, so that no other frame is as near.
    near = np.abs(after[:, None, ::2, ::2].astype(int) - before[None]).mean((2, 3, 4))
    assert near.diagonal().max() < 4 and (near.argmin(1) == np.arange(COUNT)).all()


# --- examples/video.sh


@pytest.fixture
def video_sh(here: Path) -> Callable[..., Outcome]:
    """Call examples/video.sh with the packaged ffmpeg and this checkout."""
    program = here / "img2img"
    program.write_text(f'#!/bin/sh\nexec "{sys.executable}" -m img2img "$@"\n')
    program.chmod(0o755)

    def run(*words: object, **more: str) -> Outcome:
        told = {"FFMPEG": ffmpeg(), "IMG2IMG": str(program), **more}
        script = ["sh", str(ROOT / "examples" / "video.sh"), *map(str, words)]
        done = subprocess.run(script, capture_output=True, env={**environment(), **told}, timeout=60, check=False)
        return Outcome(done.returncode, done.stdout, done.stderr.decode())

    return run


def left(folder: Path) -> list[str]:
    return sorted(os.fsdecode(path.name) for path in folder.iterdir() if path.name != "img2img")


@unix
def test_the_example_script_makes_a_larger_video_with_the_same_sound(video_sh: Run, clip: Path, here: Path) -> None:
    done = video_sh(clip, "a large clip.mp4", 2)
    assert done == Outcome(0, b"", "frames of 96x64, rgb24\n")
    assert left(here) == ["a large clip.mp4"]
    assert len(pictures(here / "a large clip.mp4", (96, 64))) == COUNT
    assert sound(here / "a large clip.mp4") == sound(clip)
    assert all(
        word in facts(here / "a large clip.mp4") for word in (f"{RATE} fps", "(tv, bt709, progressive)", "Audio: aac")
    )


@unix
def test_the_example_script_takes_turned_silent_videos_with_wide_pixels(video_sh: Run, clip: Path, here: Path) -> None:
    wide = ("-an", "-vf", "setsar=4/3", "-c:v", "libx264", "-r", "30000/1001")
    call("-i", clip, *wide, "-frames:v", 4, here / "wide.mp4")
    call("-display_rotation", 90, "-i", here / "wide.mp4", "-c", "copy", here / "-turned.mov")
    (here / "wide.mp4").unlink()
    done = video_sh("-turned.mov", "out.mkv", 3, "-q")
    assert done == Outcome(0, b"", "") and left(here) == ["-turned.mov", "out.mkv"]
    assert len(pictures(here / "out.mkv", (96, 144))) == 4
    said = facts(here / "out.mkv")
    assert "29.97 fps" in said and "SAR 3:4" in said and "Audio" not in said


@unix
@pytest.mark.parametrize(
    ("words", "said"),
    [
        ([], "usage: video.sh IN OUT"),
        (["clip.mp4"], "usage: video.sh IN OUT"),
        (["none.mp4", "out.mp4"], "none.mp4: no such file"),
        (["clip.mp4", "out.mp4", "0"], "SCALE must be a whole number"),
        (["clip.mp4", "out.mp4", "2.5"], "SCALE must be a whole number"),
        (["clip.mp4", "out.mp4", "-m"], "SCALE must be a whole number"),
        (["clip.mp4", "out"], "needs an extension"),
        (["clip.mp4", "clip.mp4"], "clip.mp4: exists"),
    ],
)
def test_the_example_script_refuses_usage_errors(video_sh: Run, here: Path, words: list[str], said: str) -> None:
    (here / "clip.mp4").write_bytes(b"no video")
    done = video_sh(*words)
    assert done.status == 2 and said in done.err and left(here) == ["clip.mp4"]
    assert (here / "clip.mp4").read_bytes() == b"no video"


@unix
@pytest.mark.parametrize(
    ("words", "more", "said"),
    [
        (["bad.mp4", "out.mp4"], {}, "bad.mp4: ffmpeg finds no video in it"),
        (["clip", "out.mp4", "4", "-m", "missing.onnx"], {}, "upscaling"),
        (["clip", "out.nosuchformat"], {}, "writing"),
        (["clip", "out.mp4"], {"IMG2IMG": "/no/such/program"}, "/no/such/program: not found"),
    ],
)
def test_the_example_script_leaves_nothing_behind_when_it_fails(
    video_sh: Run, clip: Path, here: Path, words: list[str], more: dict[str, str], said: str
) -> None:
    (here / "bad.mp4").write_bytes(b"no video")
    done = video_sh(*(clip if word == "clip" else word for word in words), **more)
    assert done.status in (1, 2) and said in done.err and left(here) == ["bad.mp4"]
