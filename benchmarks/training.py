"""Compares training steps with a plain PyTorch loop with the same networks and batch.

python benchmarks/training.py DATA [--only pix2pix,cyclegan] [--steps 20] [--rounds 3]

DATA is a folder with `paired`, `domains` and `photos` in it, as `img2img train` takes them. Without it, small pictures
are drawn. Ratios are medians of pairs of processes that run in turn. The script measures the CPU, so its figures mean
nothing on a GPU.
"""

import argparse
import json
import statistics
import sys
import tempfile
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image
from processes import Usage, run

HERE = Path(__file__).parent

PATCHGAN = {"name": "patchgan", "options": {"features": 32}}
RECIPES: dict[str, dict[str, Any]] = {
    "pix2pix": {
        "data": {"folders": ["paired"], "load": 142, "crop": 128},
        "generator": {"name": "unet", "options": {"features": 32}},
        "discriminator": PATCHGAN,
    },
    "cyclegan": {
        "data": {"folders": ["domains/a", "domains/b"], "load": 72, "crop": 64},
        "generator": {"name": "resnet", "options": {"features": 32, "blocks": 6}},
        "discriminator": {"name": "patchgan", "options": {"features": 32, "layers": 2, "norm": "instance"}},
    },
    "stargan": {
        "data": {"folders": ["domains"], "load": 72, "crop": 64},
        "generator": {"name": "stargan", "options": {"features": 24, "blocks": 4}},
        "discriminator": {"name": "stargan-discriminator", "options": {"features": 24, "layers": 4}},
        "batch": 8,
    },
    "esrgan": {"data": {"folders": ["photos"]}},
    "inpaint": {
        "data": {"folders": ["photos"], "crop": 128},
        "generator": {"name": "gated", "options": {"features": 16}},
        "discriminator": {"name": "sn-patchgan", "options": {"features": 16}},
        "batch": 2,
    },
}


def draw(folder: Path) -> None:
    """Pictures of smooth noise, enough for a benchmark."""
    rng = np.random.default_rng(0)
    for part in ("paired/A", "paired/B", "domains/a", "domains/b", "photos"):
        (folder / part).mkdir(parents=True)
        for i in range(24):
            coarse = Image.fromarray(rng.integers(0, 256, (9, 9, 3), np.uint8))
            coarse.resize((256, 256), Image.Resampling.BICUBIC).save(folder / part / f"p{i}.png")


def measure(name: str, data: Path, place: Path, steps: int, rounds: int) -> None:
    config = json.loads(json.dumps(RECIPES[name]))
    config["data"]["folders"] = [str(data / folder) for folder in config["data"]["folders"]]
    (place / "config.json").write_text(json.dumps({"method": name, **config}))
    results: dict[str, list[tuple[float, float, Usage]]] = {"ours": [], "plain": []}
    batch = 1
    for _ in range(rounds):
        for side, found in results.items():
            out = place / "out.json"
            command = [HERE / "training_side.py", side, name, place / "config.json", out, steps]
            usage = run([sys.executable, *map(str, command)])
            measured = json.loads(out.read_text())
            batch = measured["batch"]
            waited = measured["waiting"] / sum(measured["seconds"])
            found.append((statistics.median(measured["seconds"]), waited, usage))
    print(name)
    for side, found in results.items():
        second, waiting = (statistics.median(one[i] for one in found) for i in range(2))
        peak = statistics.median(one[2].peak for one in found)
        print(
            f"  {side:<6} {1 / second:6.2f} steps/s  {batch / second:7.2f} images/s  "
            f"{100 * waiting:4.1f} % waiting for data  peak {peak:5.0f} MB"
        )
    pairs = list(zip(results["ours"], results["plain"], strict=True))
    time, memory = (statistics.median(f(a, b) for a, b in pairs) for f in (_faster, _memory))
    print(f"  ours / plain: steps/s {time:.2f}, memory {memory:.2f}", flush=True)


def _faster(ours: tuple[float, float, Usage], plain: tuple[float, float, Usage]) -> float:
    return plain[0] / ours[0]


def _memory(ours: tuple[float, float, Usage], plain: tuple[float, float, Usage]) -> float:
    return ours[2].peak / plain[2].peak


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("data", nargs="?", type=Path)
    parser.add_argument("--only", default=",".join(RECIPES))
    parser.add_argument("--steps", type=int, default=20)
    parser.add_argument("--rounds", type=int, default=3)
    args = parser.parse_args()
    with tempfile.TemporaryDirectory() as place:
        data = args.data or Path(place) / "data"
        if not args.data:
            draw(data)
        for name in args.only.split(","):
            measure(name, data, Path(place), args.steps, args.rounds)


if __name__ == "__main__":
    main()
