"""Compares `img2img compare FOLDER` with the bare networks of its sides.

python benchmarks/compare.py FOLDER [--count 50] [--size 256x192] [--with upscale-x4 --with upscale-x4-best]
                             [--rounds 3] [--truth]

Photos of FOLDER are cropped and shrunk to the size. Each round runs, in turn: the bare networks (bare_windows.py:
onnxruntime alone on the same tiles; only its calls count) and the command as a whole process, from start to the
finished page. Seconds and ratios are medians over the rounds. With --truth, PSNR, SSIM and L1 are measured instead of
NIQE.
"""

import argparse
import statistics
import subprocess
import sys
import tempfile
from pathlib import Path

from PIL import Image, ImageOps
from processes import Usage, announce, median, run

from img2img.runtime.files.source import natural
from img2img.runtime.network import models
from img2img.runtime.network.models import is_installed

HERE = Path(__file__).parent


def make_photos(folder: Path, source: Path, count: int, size: tuple[int, int], scale: int) -> tuple[Path, Path]:
    """Write `count` photos in both resolutions. Returns the folders of inputs and truths."""
    low, high = folder / "low", folder / "high"
    low.mkdir(), high.mkdir()
    paths = sorted((path for path in source.rglob("*") if path.suffix.lower() in (".jpg", ".png")), key=natural)
    large = size[0] * scale, size[1] * scale
    for number in range(count):
        with Image.open(paths[number % len(paths)]) as image:
            fitted = ImageOps.fit(image.convert("RGB"), large, Image.Resampling.LANCZOS)
        fitted.save(high / f"{number:03}.png")
        fitted.resize(size, Image.Resampling.LANCZOS).save(low / f"{number:03}.png")
    return low, high


def measure(sides: list[str], low: Path, high: Path | None, rounds: int) -> tuple[list[float], list[Usage], int]:
    """Seconds of the bare networks and usages of the command, one entry per round, and bytes of the page."""
    page = low.parent / "page.html"
    words = [sys.executable, "-m", "img2img", "compare", str(low), "--quiet", "-o", str(page)]
    words += [word for side in sides for word in ("--with", side)]
    words += ["--truth", str(high)] if high is not None else []
    networks = [side for side in sides if is_installed(side) or side.endswith(models.SUFFIX)]
    bare: list[float] = []
    usages: list[Usage] = []
    for _ in range(rounds):
        calls = ([sys.executable, str(HERE / "bare_windows.py"), one, str(low)] for one in networks)
        done = [subprocess.run(call, check=True, capture_output=True, text=True).stdout for call in calls]
        bare.append(sum(map(float, done)))
        usages.append(run(words))
    return bare, usages, page.stat().st_size


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", type=Path, help="photos")
    parser.add_argument("--count", type=int, default=50)
    parser.add_argument("--size", default="256x192", metavar="WxH")
    parser.add_argument("--with", action="append", dest="sides", metavar="SIDE", help="as for img2img compare")
    parser.add_argument("--truth", action="store_true")
    parser.add_argument("--rounds", type=int, default=3)
    options = parser.parse_args()
    sides = options.sides or ["upscale-x4", "upscale-x4-best"]
    announce(", ".join(sides), options.rounds)
    width, height = (int(side) for side in options.size.split("x"))
    card = models.read_card(models.find(next(side for side in sides if is_installed(side))))
    with tempfile.TemporaryDirectory() as name:
        scale = card.scale if card is not None else 1
        low, high = make_photos(Path(name), options.folder, options.count, (width, height), scale)
        bare, usages, size = measure(sides, low, high if options.truth else None, options.rounds)
    over = [usage.wall / alone for usage, alone in zip(usages, bare, strict=True)]
    print(f"  {'networks alone':<16} {statistics.median(bare):8.2f} s")
    print(
        f"  {'img2img compare':<16} {median(usages, 'wall'):8.2f} s  / networks {statistics.median(over):.3f}"
        f" ({min(over):.3f} to {max(over):.3f})  cpu {median(usages, 'cpu'):.1f} s"
        f"  peak {median(usages, 'peak'):.0f} MB  page {size / 1e6:.0f} MB"
    )


if __name__ == "__main__":
    main()
