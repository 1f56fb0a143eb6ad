"""`--raw WxH`: reads video frames from stdin and writes the results to stdout."""

from __future__ import annotations

import re
import sys
import time
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING

from img2img.cli import console
from img2img.errors import ExitStatus, UsageError
from img2img.text import count_of, show_duration

if TYPE_CHECKING:
    from img2img.runtime.image.pictures import Picture

REDRAW = 0.1  # seconds between two updates of the frame counter
WIDTH = 48  # columns of the frame counter


def parse_raw(text: str, max_pixels: int | None = None) -> tuple[int, int]:
    """Width and height given by `--raw`. `max_pixels`: the limit; None: that of pictures."""
    match = re.fullmatch(r"([1-9][0-9]{0,5})[xX]([1-9][0-9]{0,5})", text)
    if match is None:
        raise UsageError(f"--raw {text}: use the width and height of the frames in pixels, such as 640x360")
    width, height = int(match[1]), int(match[2])
    if max_pixels is None:
        from img2img.runtime.image.pictures import DEFAULT_MAX_PIXELS

        max_pixels = DEFAULT_MAX_PIXELS
    if width * height > max_pixels:
        raise UsageError(f"--raw {text}: frames have more than {max_pixels} pixels; raise the limit with --max-pixels")
    return width, height


def check_streams(inputs: Sequence[str], output: str | None) -> None:
    """Raise UsageError unless frames come from stdin and go to stdout, and neither is a terminal."""
    if list(inputs) != ["-"]:
        raise UsageError("--raw reads frames from stdin: the only input is -")
    if output not in (None, "-"):
        raise UsageError(f"--raw writes frames to stdout: use -o - instead of -o {output}")
    if sys.stdin.isatty():
        raise UsageError("stdin is a terminal: pipe rgb24 frames into it (ffmpeg ... -f rawvideo -pix_fmt rgb24 -)")
    if sys.stdout.isatty():
        raise UsageError("stdout is a terminal: pipe it into a program that reads rgb24 frames")


def run(size: tuple[int, int], apply: Callable[[], Callable[[Picture], Picture]], *, quiet: bool = False) -> ExitStatus:
    """Stream frames of `size` (width, height) from stdin to stdout. `apply` loads the model and returns the function.

    Prints the size of the results on stderr with the first one; the reader of the frames needs it.
    """
    from img2img.runtime.batch.video import stream

    function = apply()
    count = _Count(quiet)
    # Unbuffered: a thread that blocks in a buffered stream holds a lock that the interpreter needs at exit.
    source, sink = (getattr(one.buffer, "raw", one.buffer) for one in (sys.stdin, sys.stdout))
    try:
        stream(size, function, source=source, sink=sink, on_frame=count.add)
    finally:
        count.clear()
    count.sum_up()
    return ExitStatus.OK


class _Count:
    """Messages: the size once, each note once, and a summary that counts them; on a terminal also a frame counter."""

    def __init__(self, quiet: bool) -> None:
        self.quiet = quiet
        self.watched = console.is_terminal()
        self.frames = 0
        self.size = ""
        self.told: set[str] = set()
        self.began = time.monotonic()
        self.drawn: float | None = None

    def add(self, picture: Picture) -> None:
        self.frames += 1
        if self.frames == 1:
            self.size = "{}x{}".format(*picture.size)
        if self.quiet:
            return
        if self.frames == 1:
            console.say(f"frames of {self.size}, rgb24")
        for note in picture.notes:
            if note not in self.told:
                self.told.add(note)
                self.clear()
                console.say(f"frame {self.frames}: {note}")
        now = time.monotonic()
        if not self.watched:
            return
        if self.drawn is None or now - self.drawn >= REDRAW:
            self.drawn = now
            text = f"{count_of(self.frames, 'frame')}, {self.speed():.2f} frames/s"
            print(f"\r{text:<{WIDTH}}", end="", file=sys.stderr, flush=True)

    def clear(self) -> None:
        if self.drawn is not None:
            print(f"\r{'':<{WIDTH}}\r", end="", file=sys.stderr, flush=True)
            self.drawn = None

    def sum_up(self) -> None:
        if self.quiet or not (self.watched or self.told):
            return
        seconds = time.monotonic() - self.began
        count = count_of(self.frames, "frame")
        notes = f", {count_of(len(self.told), 'note')}" if self.told else ""
        console.say(f"{count} of {self.size} in {show_duration(seconds)} ({self.speed():.2f} frames/s){notes}")

    def speed(self) -> float:
        return self.frames / max(time.monotonic() - self.began, 1e-9)
