"""Trains every method for two folders without pairs for the same time, and compares the results.

python examples/unpaired/compare.py A B --out RUNS [--minutes 5] [--seeds 0 1] [--methods cyclegan cut ...]
python examples/unpaired/compare.py DATA --out RUNS --size 128     DATA has trainA, trainB, testA and testB

Of two folders, every thirteenth picture is held out, and pictures of the same name show the same thing, which training
does not use. All methods use networks of about the same size and one thread. Prints a table of the direction from A to
B, with the mean over the seeds and half the range, and writes RUNS/results.png. Runs that are there already are kept.
"""

import argparse
import json
import subprocess
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from img2img.runtime.network import session, tiling
from img2img.training.sheets import contact_sheet

RESNET = ["generator.options.features=24", "generator.options.blocks=4"]
PATCHGAN = ["discriminator.options.features=32", "discriminator.options.layers=2"]
SCALES = ["discriminator.options.features=32", "discriminator.options.layers=3", "discriminator.options.scales=2"]
AT_ONCE = ["optimiser.rate=5e-4", "discriminator_optimiser.rate=5e-4", "schedule.shape=constant", "ema=0.99"]
"""For auto-encoders from random weights, which find no colours in minutes at their published rate of 1e-4."""
SETTINGS = {
    "cyclegan": [*RESNET, *PATCHGAN],
    "dualgan": ["generator.options.features=24", "generator.options.downs=6", *PATCHGAN],
    "discogan": ["generator.options.features=24", "discriminator.options.features=32", "batch=8"],
    "distancegan": [*RESNET, *PATCHGAN],
    "simgan": [*RESNET, *PATCHGAN, "batch=8", "generator_warmup=100", "discriminator_warmup=20"],
    "cut": [*RESNET, *PATCHGAN],
    "fastcut": [*RESNET, *PATCHGAN],
    "unit": [*RESNET, *SCALES, *AT_ONCE],
    "munit": [*RESNET, *SCALES, *AT_ONCE],
    "dtn": ["generator.options.features=24", "discriminator.options.features=32", "batch=8"],
}
FEATURES_SHARE = 0.25
"""The part of the time in which dtn learns its features."""
BLOCKS = {
    "weather": [(0x1F300, 0x1F33F)],
    "food": [(0x1F340, 0x1F37F), (0x1F950, 0x1F96F)],
    "events": [(0x1F380, 0x1F3DF)],
    "buildings": [(0x1F3E0, 0x1F3FF)],
    "animals": [(0x1F400, 0x1F43F), (0x1F980, 0x1F9AF)],
    "people": [(0x1F440, 0x1F487), (0x1F9D0, 0x1F9FF)],
    "objects": [(0x1F488, 0x1F4FF), (0x1F550, 0x1F5FF)],
    "faces": [(0x1F600, 0x1F64F), (0x1F910, 0x1F92F)],
    "vehicles": [(0x1F680, 0x1F6FF)],
}
"""Classes of emoji for the features of dtn: ranges of code points. All others are symbols."""
ROWS = 8
Figures = dict[str, dict[str, list[float]]]
"""Per method and figure, one value per seed."""


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument(
        "folders", type=Path, nargs="+", help="A and B, or one folder with trainA, trainB, testA, testB"
    )
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--minutes", type=float, default=5)
    parser.add_argument("--seeds", type=int, nargs="+", default=[0, 1])
    parser.add_argument("--size", type=int, default=64)
    parser.add_argument("--methods", nargs="+", choices=SETTINGS, default=list(SETTINGS))
    options = parser.parse_args()
    paired = len(options.folders) == 2
    data = _split(*options.folders, options.out / "data") if paired else options.folders[0]
    for seed in options.seeds:
        for method in options.methods:
            _train(method, data, options.out / f"{method}-{seed}", options, seed, paired)
    figures: Figures = {}
    for seed in options.seeds:
        models = {method: _model(options.out / f"{method}-{seed}") for method in options.methods}
        for method, kid in _kernel_distances(models, data).items():
            figures.setdefault(method, {}).setdefault("kid", []).append(kid)
        for method in models:
            for name, value in _measured(options.out / f"{method}-{seed}").items():
                row = "copy" if name.endswith("_input") else method
                figures[row].setdefault(name.removesuffix("_input"), []).append(value)
    _print(figures, options.minutes)
    models = {method: _model(options.out / f"{method}-{options.seeds[0]}") for method in options.methods}
    _write_sheet(models, data, options.out / "results.png", options.size, paired)


def _split(a: Path, b: Path, data: Path) -> Path:
    """Link the pictures of both folders into `trainA`, `trainB`, `testA` and `testB`."""
    for letter, folder in zip("AB", (a, b), strict=True):
        for number, path in enumerate(sorted(folder.iterdir())):
            place = data / f"{'train' if number % 13 else 'test'}{letter}"
            place.mkdir(parents=True, exist_ok=True)
            if not (place / path.name).exists():
                (place / path.name).symlink_to(path.absolute())
    return data


def _train(method: str, data: Path, run: Path, options: argparse.Namespace, seed: int, paired: bool) -> None:
    if (run / "model.onnx").exists() or (run / "model.AtoB.onnx").exists():
        return
    size = [f"data.load={options.size * 9 // 8}", f"data.crop={options.size}", f"data.flip={str(not paired).lower()}"]
    settings = [*size, *SETTINGS[method], "validate_every=1000000", f"seed={seed}"]
    if paired:
        settings.append("data.truth=names")
    minutes = options.minutes
    words = ["--data", data, "--device", "cpu", "--threads", "1"]
    if method == "dtn":
        features = run.with_name(f"{run.name}-features")
        _train_features(data, features, size, minutes * FEATURES_SHARE, seed)
        words += ["--start", features]
        minutes *= 1 - FEATURES_SHARE
    words += ["--out", run, "--max-minutes", minutes]
    _img2img("train", method, *words, *(word for one in settings for word in ("--set", one)))


def _train_features(data: Path, run: Path, size: list[str], minutes: float, seed: int) -> None:
    """Train the features of dtn on the training pictures of A, sorted into classes of emoji."""
    labelled = run.with_name(f"{run.name}-data")
    for path in sorted((data / "trainA").iterdir()):
        point = int(path.stem.split("-")[0], 16)
        found = [name for name, ranges in BLOCKS.items() if any(low <= point <= high for low, high in ranges)]
        place = labelled / (found[0] if found else "symbols")
        place.mkdir(parents=True, exist_ok=True)
        if not (place / path.name).exists():
            (place / path.name).symlink_to(path.resolve())
    settings = [*size, "features.options.features=32", "batch=16", "validate_every=1000000", f"seed={seed}"]
    words = ["--stage", "features", "--data", labelled, "--out", run, "--device", "cpu", "--threads", "1"]
    words += ["--max-minutes", minutes]
    _img2img("train", "dtn", *words, *(word for one in settings for word in ("--set", one)))


def _model(run: Path) -> Path:
    return next(path for path in (run / "model.AtoB.onnx", run / "model.onnx") if path.exists())


def _measured(run: Path) -> dict[str, float]:
    """Steps, and L1 and SSIM of the last validation. Those of the unchanged input have names that end in `_input`."""
    lines = [json.loads(line) for line in (run / "log.jsonl").read_text(encoding="utf-8").splitlines()]
    last = [line for line in lines if "validation" in line][-1]
    wanted = ("l1", "ssim", "l1_input", "ssim_input")
    found = {name.replace("_AtoB", ""): value for name, value in last["validation"].items()}
    return {"steps": last["step"], **{name: found[name] for name in wanted if name in found}}


def _kernel_distances(models: dict[str, Path], data: Path) -> dict[str, float]:
    """KID of each method to real pictures of B, in features of one classifier that learns on the spot."""
    first, *others = models.values()
    words = [first, *(word for other in others for word in ("--against", other)), "--data", data / "testA"]
    words += ["--real", data / "testB", "--train", data / "trainA", "--train", data / "trainB", "--json"]
    mean = json.loads(_img2img("evaluate", *words, "--threads", "1").splitlines()[-1])
    found = {
        name.removesuffix("-AtoB"): one["kid_own"]
        for name, one in mean.items()
        if isinstance(one, dict) and "kid_own" in one
    }
    return {next(iter(models)): mean["kid_own"], **found}


def _print(figures: Figures, minutes: float) -> None:
    names = [name for name in ("l1", "ssim", "kid") if any(name in found for found in figures.values())]
    print("| method | steps/s | " + " | ".join(map(str.upper, names)) + " |")
    print("|---" * (len(names) + 2) + "|")
    for method, found in sorted(figures.items(), key=lambda one: one[0] == "copy"):
        speed = f"{np.mean(found['steps']) / minutes / 60:.1f}" if "steps" in found else ""
        cells = [_spread(found.get(name, []), 1 if name == "kid" else 3) for name in names]
        print(f"| {'the input, unchanged' if method == 'copy' else f'`{method}`'} | {speed} | {' | '.join(cells)} |")


def _spread(values: list[float], digits: int) -> str:
    if not values:
        return ""
    return f"{np.mean(values):.{digits}f} +- {(max(values) - min(values)) / 2:.{digits}f}"


def _write_sheet(models: dict[str, Path], data: Path, out: Path, size: int, paired: bool) -> None:
    """Write a row for each of the first held-out pictures: the input, the result of each method and the truth."""
    paths = sorted((data / "testA").iterdir())
    paths = paths[:: max(1, len(paths) // ROWS)][:ROWS]
    inputs = [_read(path, size) for path in paths]
    columns = {"input": inputs}
    for method, path in models.items():
        model = session.load(path)
        columns[method] = [tiling.run_tiled(model, picture) for picture in inputs]
    if paired:
        columns["truth"] = [_read(data / "testB" / path.name, size) for path in paths]
    contact_sheet(list(columns), list(zip(*columns.values(), strict=True))).save(out)


def _read(path: Path, size: int) -> NDArray[np.uint8]:
    """Read a picture on white and make it `size` pixels high and wide."""
    with Image.open(path) as picture:
        rgba = picture.convert("RGBA")
        white = Image.new("RGBA", rgba.size, "white")
        return np.asarray(
            Image.alpha_composite(white, rgba).convert("RGB").resize((size, size), Image.Resampling.BICUBIC)
        )


def _img2img(*words: object) -> str:
    done = subprocess.run(["img2img", *map(str, words)], check=True, stdout=subprocess.PIPE, text=True)
    return done.stdout


if __name__ == "__main__":
    main()
