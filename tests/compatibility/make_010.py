"""Make the files of version 0.1.0 again. Run it with a checkout of that version:

PYTHONPATH=CHECKOUT python tests/compatibility/make_010.py
"""

import json
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

import numpy as np
from commands_010 import BATCHES, FILES, GO_ON, PLACEHOLDER, TRAIN, move_run
from PIL import Image

sys.path.insert(0, str(FILES.parents[1] / "runtime"))
import onnx_nets


def picture(path: Path, seed: int, size: tuple[int, int], mode: str = "RGB") -> None:
    """Smooth noise: it compresses well and no two places are alike."""
    path.parent.mkdir(parents=True, exist_ok=True)
    coarse = np.random.default_rng(seed).integers(0, 256, (3, 3, len(mode)), np.uint8)
    Image.fromarray(coarse, mode).resize(size, Image.Resampling.BICUBIC).save(path, optimize=True)


def mask(path: Path, box: tuple[int, int, int, int], size: tuple[int, int]) -> None:
    """White in `box` (left, top, right, bottom)."""
    path.parent.mkdir(parents=True, exist_ok=True)
    image = Image.new("L", size)
    image.paste(255, box)
    image.save(path, optimize=True)


def make_inputs(folder: Path) -> None:
    for seed, (name, mode) in enumerate([("a", "RGB"), ("b", "RGB"), ("deep/c", "RGB"), ("d", "RGBA")]):
        picture(folder / f"photos/{name}.png", seed, (24, 20), mode)
        if "/" not in name:
            mask(folder / f"masks/{name}.png", (4 + seed, 5, 12, 10 + seed), (24, 20))
    for number in range(4):
        for side in "AB":
            picture(folder / f"pairs/{side}/{number}.png", 10 + number + 10 * (side == "B"), (20, 20))
    for number in range(3):
        for place, domain in enumerate(("red", "green")):
            picture(folder / f"domains/{domain}/{number}.png", 40 + number + 10 * place, (16, 16))
    models = folder / "models"
    models.mkdir()
    onnx_nets.compact(models / "upscaler.onnx", scale=2, features=4)
    onnx_nets.instance_norm(models / "translator.onnx", features=4)
    onnx_nets.domains(models / "styles.onnx", {"warm": (0.9, 0.5, 0.1), "cold": (0.1, 0.5, 0.9)})
    onnx_nets.filler(models / "filler.onnx", (0.0, 0.6, 0.6), multiple=4)


def img2img(folder: Path, words: str) -> None:
    subprocess.run([sys.executable, "-m", "img2img", *words.split()], cwd=folder, check=True)


def read_cards(folder: Path) -> dict[str, object]:
    """Model file to its card, as this version shows it."""
    cards = {}
    for path in sorted(folder.glob("models/*.onnx")) + sorted(folder.glob("runs/*/model.onnx")):
        name = path.relative_to(folder).as_posix()
        words = [sys.executable, "-m", "img2img", "models", "info", name, "--json"]
        shown = subprocess.run(words, cwd=folder, check=True, capture_output=True, text=True).stdout
        cards[name] = json.loads(shown)["card"]
    return cards


def make(folder: Path, other: Path) -> None:
    """Fill `folder`; use `other` for the runs that show what 0.1.0 itself would have gone on to do."""
    make_inputs(folder)
    for words in BATCHES.values():
        img2img(folder, words)
    for words in TRAIN.values():
        img2img(folder, words)
    (folder / "cards.json").write_text(json.dumps(read_cards(folder), indent=1) + "\n", encoding="utf-8")
    shutil.copytree(folder, other)
    for method in TRAIN:
        run = folder / "runs" / method
        shutil.rmtree(run / "events")  # large, and nothing reads them
        (run / "curves.png").unlink()
        move_run(other / "runs" / method, str(folder), str(other))
        img2img(other, GO_ON.format(method=method))
        shutil.copy(other / "runs" / method / "log.jsonl", run / "log-after-4-steps.jsonl")
        move_run(run, str(folder), PLACEHOLDER)


def main() -> None:
    import img2img as package

    if package.__version__ != "0.1.0":
        sys.exit(f"this is img2img {package.__version__}; put a checkout of 0.1.0 on PYTHONPATH")
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name) / FILES.name
        folder.mkdir()
        make(folder, Path(name) / "other")
        shutil.rmtree(FILES, ignore_errors=True)
        shutil.copytree(folder, FILES)


if __name__ == "__main__":
    main()
