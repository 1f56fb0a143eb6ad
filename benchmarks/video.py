"""Compares the frames per second of raw video through a model with the bare network on the same frames.

python benchmarks/video.py [--model upscale-x4] [--size 160x96] [--frames 24] [--rounds 3] [--threads N]

Each round runs, in turn: `video.stream`, which reads, computes and writes at the same time; a plain loop that reads,
computes and writes one frame after the other; and the network alone on prepared arrays. The first two run between two
other processes: `cat`, which costs almost nothing, and, if the package imageio-ffmpeg is installed, an ffmpeg that
decodes H.264 and one that encodes it, on the same cores. Ratios are medians over the rounds.
"""

import argparse
import statistics
import subprocess
import tempfile
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import BinaryIO

import numpy as np
from PIL import Image

from img2img.cli.raw import parse_raw
from img2img.runtime.batch.video import read_frames, stream, write_frame
from img2img.runtime.image.pictures import Picture
from img2img.runtime.network import models, session
from img2img.runtime.tasks.upscale import upscale

PHOTO = Path(__file__).parents[1] / "examples" / "olives.jpg"
Size = tuple[int, int]
Apply = Callable[[Picture], Picture]
Way = Callable[[Size, Apply, BinaryIO, BinaryIO], None]


def panned(size: Size, count: int) -> np.ndarray:
    """A video, uint8 [count, H, W, 3]: a window that moves over a photo."""
    photo = Image.open(PHOTO).convert("RGB")
    factor = max((size[0] + count) / photo.width, (size[1] + count) / photo.height, 1)
    pixels = np.asarray(photo.resize((round(photo.width * factor), round(photo.height * factor))))
    return np.stack([pixels[i : i + size[1], i : i + size[0]] for i in range(count)])


def streamed(size: Size, apply: Apply, source: BinaryIO, sink: BinaryIO) -> None:
    stream(size, apply, source=source, sink=sink)


def naive(size: Size, apply: Apply, source: BinaryIO, sink: BinaryIO) -> None:
    for frame in read_frames(source, size):
        write_frame(sink, apply(Picture(frame)))


def between(way: Way, size: Size, apply: Apply, before: Sequence[str], after: Sequence[str]) -> float:
    """Seconds from the first requested frame to the end of the last process, without the start of the first one."""
    with (
        subprocess.Popen(before, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, bufsize=0) as giver,
        subprocess.Popen(after, stdin=subprocess.PIPE, stdout=subprocess.DEVNULL, bufsize=0) as taker,
    ):
        assert giver.stdout is not None and taker.stdin is not None
        begin = time.perf_counter()
        way(size, apply, giver.stdout, taker.stdin)  # type: ignore[arg-type]
        taker.stdin.close()
        if giver.wait() or taker.wait():
            raise SystemExit("a neighbour failed")
        return time.perf_counter() - begin


def neighbours(folder: Path, size: Size, scale: int, video: np.ndarray) -> dict[str, tuple[list[str], list[str]]]:
    """Name -> the command that produces the frames, and the command that consumes the results."""
    raw = folder / "video.rgb"
    video.tofile(raw)
    found = {"cat": (["cat", str(raw)], ["cat"])}
    try:
        from imageio_ffmpeg import get_ffmpeg_exe
    except ImportError:
        return found
    ffmpeg = [get_ffmpeg_exe(), "-v", "error"]
    rgb = ["-f", "rawvideo", "-pix_fmt", "rgb24"]
    coded = str(folder / "video.mp4")
    sides, large = (f"{size[0] * factor}x{size[1] * factor}" for factor in (1, scale))
    subprocess.run([*ffmpeg, *rgb, "-s", sides, "-i", str(raw), "-crf", "18", coded], check=True)
    encoder = [*ffmpeg, *rgb, "-s", large, "-i", "-", "-crf", "18", "-pix_fmt", "yuv420p", "-y"]
    found["ffmpeg"] = ([*ffmpeg, "-i", coded, *rgb, "-"], [*encoder, str(folder / "out.mp4")])
    return found


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--model", default="upscale-x4")
    parser.add_argument("--size", type=parse_raw, default=(160, 96))
    parser.add_argument("--frames", type=int, default=24)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--threads", type=int)
    parser.add_argument("--device", default="auto")
    options = parser.parse_args()
    model = session.load(models.find(options.model), device=options.device, threads=options.threads)
    whole = model.on_all_cores()
    size, count = options.size, options.frames
    video = panned(size, count)
    ready = [np.ascontiguousarray(frame.transpose(2, 0, 1)[None], np.float32) / 255 for frame in video]

    def bare() -> float:
        begin = time.perf_counter()
        for one in ready:
            whole.infer(one)
        return time.perf_counter() - begin

    print(f"{model.name} on {model.device}, {count} frames of {size[0]}x{size[1]}, {options.rounds} rounds")
    bare()  # the first runs of a size are slower
    with tempfile.TemporaryDirectory() as name:
        for neighbour, commands in neighbours(Path(name), size, model.card.scale, video).items():
            rounds = []
            for _ in range(options.rounds):
                network = bare()
                ours = between(streamed, size, lambda picture: upscale(model, picture), *commands)
                theirs = between(naive, size, lambda picture: upscale(model, picture), *commands)
                rounds.append((network, ours, theirs, network / ours, network / theirs))
            network, ours, theirs, ratio, rival = (statistics.median(values) for values in zip(*rounds, strict=True))
            print(
                f"  between two {neighbour:<7} network {count / network:6.2f} frames/s, stream {count / ours:6.2f}"
                f" ({ratio:.3f} of the network), naive loop {count / theirs:6.2f} ({rival:.3f})"
            )


if __name__ == "__main__":
    main()
