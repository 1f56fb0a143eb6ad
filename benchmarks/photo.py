"""Compares `img2img upscale photo` with the bare network and with a plain script: one photo, whole processes.

python benchmarks/photo.py [--model upscale-x4] [--size 512x512] [--to png --to jpg] [--rounds 7] [--other PYTHON]

The bare network is onnxruntime alone on all cores, on the same tiles (bare_windows.py); only its calls count. The plain
script (naive_loop.py) imports onnxruntime and Pillow, loads the model, and opens, runs and saves the photo. It shows
how much of the rest is start-up and encoding. `--other` names the Python of an environment with another version of
img2img. All contestants run in turn; ratios are medians over the rounds. File sizes and the largest difference of
pixels show whether both versions did the same work.
"""

import argparse
import statistics
import subprocess
import sys
import tempfile
from pathlib import Path

import numpy as np
from PIL import Image
from processes import Usage, announce, median, run

from img2img.runtime.network import models

HERE = Path(__file__).parent
PHOTOS = sorted((HERE.parent / "examples").glob("*.jpg"))
Image.MAX_IMAGE_PIXELS = None  # results are larger than Pillow expects


def photo(size: tuple[int, int], target: Path, turn: int = 0) -> Path:
    """An example photo, enlarged and cropped to `size` (width, height)."""
    picture = Image.open(PHOTOS[turn % len(PHOTOS)]).convert("RGB")
    factor = max(size[0] / picture.width, size[1] / picture.height) * (1 + 0.01 * turn)
    large = (max(round(picture.width * factor), size[0]), max(round(picture.height * factor), size[1]))
    picture.resize(large, Image.Resampling.LANCZOS).crop((0, 0, *size)).save(target)
    return target


def upscale(model: str, source: Path, target: Path | str, python: str = sys.executable) -> list[str]:
    """The measured command line."""
    options = ["-m", model, "-o", str(target), "--existing", "overwrite"]
    return [python, "-m", "img2img", "upscale", str(source), *options]


def measure(model: str, source: Path, contestants: dict[str, tuple[Path, list[str]]], rounds: int) -> None:
    """Run the bare network and every contestant (name: result and command) in turn, and print seconds and ratios."""
    bare = [sys.executable, str(HERE / "bare_windows.py"), model, str(source.parent)]
    network: list[float] = []
    usages: dict[str, list[Usage]] = {name: [] for name in contestants}
    for turn in range(rounds + 1):
        alone = float(subprocess.run(bare, check=True, capture_output=True, text=True).stdout)
        found = {name: run(command) for name, (_, command) in contestants.items()}
        if turn:  # the first round warms up
            network.append(alone)
            for name, usage in found.items():
                usages[name].append(usage)
    print(f"  {'network alone':<16} {statistics.median(network):7.2f} s")
    for name, values in usages.items():
        over = [usage.wall / alone for usage, alone in zip(values, network, strict=True)]
        print(
            f"  {name:<16} {median(values, 'wall'):7.2f} s  / network {statistics.median(over):.3f} ({min(over):.3f} to"
            f" {max(over):.3f})  cpu {median(values, 'cpu'):.2f} s  peak {median(values, 'peak'):.0f} MB"
            f"  file {contestants[name][0].stat().st_size:,} bytes"
        )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--model", default="upscale-x4", help="a model with a card, for upscaling")
    parser.add_argument("--size", default="512x512", metavar="WIDTHxHEIGHT")
    parser.add_argument("--to", action="append", metavar="SUFFIX", help="format of the result  [default: png and jpg]")
    parser.add_argument("--rounds", type=int, default=7)
    parser.add_argument("--other", metavar="PYTHON", help="Python of an environment with another version")
    options = parser.parse_args()
    announce(options.model, options.rounds)
    width, height = (int(number) for number in options.size.split("x"))
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        (folder / "in").mkdir()
        source = photo((width, height), folder / "in" / "photo.png")
        for suffix in options.to or ["png", "jpg"]:
            print(f"a {options.size} photo to {suffix}:", flush=True)
            ours, other, plain = (folder / f"{name}.{suffix}" for name in ("ours", "other", "photo"))
            script = [sys.executable, str(HERE / "naive_loop.py"), str(models.find(options.model))]
            contestants = {
                "img2img": (ours, upscale(options.model, source, ours)),
                "plain script": (plain, [*script, str(source.parent), str(folder), f".{suffix}"]),
            }
            if options.other:
                contestants["other version"] = (other, upscale(options.model, source, other, options.other))
            measure(options.model, source, contestants, options.rounds)
            if options.other:
                results = (np.asarray(Image.open(path)).astype(int) for path in (ours, other))
                print(f"  largest difference of the two results: {np.abs(np.subtract(*results)).max()} of 255")


if __name__ == "__main__":
    main()
