"""Compares `img2img upscale FOLDER` with the bare network and with a plain loop.

python benchmarks/batches.py [--model upscale-x4] [--batch 50x480 --batch 1000x96] [--rounds 3]
                               [--other PYTHON]

Each round runs, in turn: the bare network (bare_windows.py: onnxruntime alone on the same tiles), the command with and
without its journal, and the plain loop (naive_loop.py). Whole processes count, except for the bare network, where only
the calls count. Seconds and ratios are medians over the rounds. After the run with the journal, the command runs once
more with nothing left to do. `--other` names the Python of an environment with another version of img2img.
"""

import argparse
import shutil
import statistics
import subprocess
import sys
import tempfile
from collections.abc import Mapping, Sequence
from pathlib import Path

from PIL import Image
from processes import Usage, announce, median, run

from img2img.runtime.network import models

HERE = Path(__file__).parent
PHOTOS = sorted((HERE.parent / "examples").glob("*.jpg"))

JOURNAL, PLAIN, LOOP = "img2img, journal", "img2img, --no-journal", "plain loop"
OTHER = "other version, journal"


def make_photos(folder: Path, count: int, side: int) -> int:
    """Write `count` JPEGs of about 100 sizes, at least `side` pixels wide, from the examples. Returns their pixels."""
    folder.mkdir()
    originals, pixels = [Image.open(path).convert("RGB") for path in PHOTOS], 0
    for number in range(count):
        size = side + side // 70 * (number % 9), side * 3 // 4 + side // 100 * (number % 11)
        original = originals[number % len(originals)]
        factor = max(size[0] / original.width, size[1] / original.height) * (1 + number % 7 / 10)
        large = original.resize((round(original.width * factor) + 1, round(original.height * factor) + 1))
        large.crop((0, 0, *size)).save(folder / f"{number:05}.jpg", quality=90)
        pixels += size[0] * size[1]
    return pixels


def measure(
    model: str, photos: Path, out: Path, rounds: int, other: str | None
) -> tuple[list[float], dict[str, list[Usage]], list[Usage]]:
    """One entry per round: network seconds, usages by name, usages of calls with nothing to do."""
    words = [sys.executable, "-m", "img2img", "upscale", str(photos), "-m", model, "-o", f"{out}/"]
    contestants: dict[str, Sequence[str]] = {
        JOURNAL: words,
        PLAIN: [*words, "--no-journal"],
        LOOP: [sys.executable, str(HERE / "naive_loop.py"), str(models.find(model)), str(photos), str(out)],
    }
    if other:
        contestants[OTHER] = [other, *words[1:]]
    bare = [sys.executable, str(HERE / "bare_windows.py"), model, str(photos)]
    network: list[float] = []
    usages: dict[str, list[Usage]] = {name: [] for name in contestants}
    idle: list[Usage] = []
    for turn in range(rounds):
        network.append(float(subprocess.run(bare, check=True, capture_output=True, text=True).stdout))
        # The order changes, so that a machine that slows down favours nobody.
        for name in [*contestants][turn % len(contestants) :] + [*contestants][: turn % len(contestants)]:
            shutil.rmtree(out, ignore_errors=True)
            usages[name].append(run(contestants[name]))
            made = len([path for path in out.iterdir() if not path.name.startswith(".")])
            if made != len(list(photos.iterdir())):
                raise RuntimeError(f"{name}: {made} results")
            if name == JOURNAL:
                idle.append(run(words))
    return network, usages, idle


def show(network: Sequence[float], usages: Mapping[str, Sequence[Usage]], idle: Sequence[Usage]) -> None:
    print(f"  {'network alone':<24} {statistics.median(network):8.2f} s")
    for name, values in usages.items():
        over = [usage.wall / alone for usage, alone in zip(values, network, strict=True)]
        loop = [usage.wall / other.wall for usage, other in zip(values, usages[LOOP], strict=True)]
        print(
            f"  {name:<24} {median(values, 'wall'):8.2f} s  / network {statistics.median(over):.3f}"
            f" ({min(over):.3f} to {max(over):.3f})  / plain loop {statistics.median(loop):.3f}"
            f"  cpu {median(values, 'cpu'):.1f} s  peak {median(values, 'peak'):.0f} MB"
        )
    print(f"  {'nothing left to do':<24} {median(idle, 'wall'):8.2f} s")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--model", default="upscale-x4", help="a model with a card, for upscaling")
    parser.add_argument("--batch", action="append", metavar="COUNTxWIDTH", help="photos, and width of the smallest")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--other", metavar="PYTHON", help="Python of an environment with another version")
    options = parser.parse_args()
    announce(options.model, options.rounds)
    with tempfile.TemporaryDirectory() as name:
        for batch in options.batch or ["50x480", "1000x96"]:
            count, side = (int(number) for number in batch.split("x"))
            photos = Path(name) / batch
            megapixels = make_photos(photos, count, side) / 1e6
            print(f"{count} photos from {side} pixels width, {megapixels:.1f} megapixels:", flush=True)
            show(*measure(options.model, photos, Path(name) / "out", options.rounds, options.other))


if __name__ == "__main__":
    main()
