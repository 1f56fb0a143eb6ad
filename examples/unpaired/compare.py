"""Trains every method for two folders without pairs for the same time, and compares the results.

python examples/unpaired/compare.py A B --out RUNS [--minutes 5] [--seed 0] [--methods cyclegan cut ...]

Pictures of the same name show the same thing, which training does not use. Every thirteenth picture is held out. All
methods use networks of about the same size, 64 px and one thread. Prints a table of the direction from A to B.
"""

import argparse
import json
import subprocess
from pathlib import Path

RESNET = ["generator.options.features=24", "generator.options.blocks=4"]
PATCHGAN = ["discriminator.options.features=32", "discriminator.options.layers=2"]
SETTINGS = {
    "cyclegan": [*RESNET, *PATCHGAN],
    "dualgan": ["generator.options.features=24", "generator.options.downs=6", *PATCHGAN],
    "discogan": ["generator.options.features=24", "discriminator.options.features=32", "batch=8"],
    "distancegan": [*RESNET, *PATCHGAN],
    "simgan": [*RESNET, *PATCHGAN, "batch=8", "generator_warmup=100", "discriminator_warmup=20"],
    "cut": [*RESNET, *PATCHGAN],
    "fastcut": [*RESNET, *PATCHGAN],
}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("a", type=Path)
    parser.add_argument("b", type=Path)
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--minutes", type=float, default=5)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--methods", nargs="+", choices=SETTINGS, default=list(SETTINGS))
    options = parser.parse_args()
    data = _split(options.a, options.b, options.out / "data")
    models = {}
    for method in options.methods:
        run = options.out / f"{method}-{options.seed}"
        _train(method, data, run, options.minutes, options.seed)
        models[method] = next(path for path in (run / "model.AtoB.onnx", run / "model.onnx") if path.exists())
    kid = _kernel_distances(models, data)
    print("| method | steps | L1 | SSIM | KID |\n|---|---|---|---|---|")
    for method in options.methods:
        last = [
            line for line in _lines(options.out / f"{method}-{options.seed}" / "log.jsonl") if "validation" in line
        ][-1]
        figures = {name.removesuffix("_AtoB"): value for name, value in last["validation"].items()}
        l1, ssim = figures["l1"], figures["ssim"]
        print(f"| `{method}` | {last['step']} | {l1:.3f} | {ssim:.3f} | {kid.get(method, float('nan')):.2f} |")
    copied = figures.get("l1_AtoB_input", figures.get("l1_input"))
    print(f"| the input, unchanged | | {copied:.3f} | | {kid.get('copy', float('nan')):.2f} |")


def _split(a: Path, b: Path, data: Path) -> Path:
    """Link the pictures of both folders into `trainA`, `trainB`, `testA` and `testB`."""
    for letter, folder in zip("AB", (a, b), strict=True):
        for number, path in enumerate(sorted(folder.iterdir())):
            place = data / f"{'train' if number % 13 else 'test'}{letter}"
            place.mkdir(parents=True, exist_ok=True)
            if not (place / path.name).exists():
                (place / path.name).symlink_to(path.absolute())
    return data


def _train(method: str, data: Path, run: Path, minutes: float, seed: int) -> None:
    common = ["data.load=72", "data.crop=64", "data.truth=names", "data.flip=false", "validate_every=1000000"]
    settings = [*common, *SETTINGS[method], f"seed={seed}"]
    words = ["--out", run, "--data", data, "--device", "cpu", "--threads", "1", "--max-minutes", minutes]
    _img2img("train", method, *words, *(word for one in settings for word in ("--set", one)))


def _kernel_distances(models: dict[str, Path], data: Path) -> dict[str, float]:
    """KID of each method to real pictures of B, in features of one classifier that learns on the spot."""
    first, *others = models.values()
    words = [first, *(word for other in others for word in ("--against", other)), "--data", data / "testA"]
    words += ["--real", data / "testB", "--train", data / "trainA", "--train", data / "trainB", "--json"]
    mean = json.loads(_img2img("evaluate", *words, "--threads", "1").splitlines()[-1])
    found = {name.removesuffix("-AtoB"): one["kid_own"] for name, one in mean.items() if isinstance(one, dict)}
    return {next(iter(models)): mean["kid_own"], **found}


def _lines(path: Path) -> list[dict]:
    return [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines()]


def _img2img(*words: object) -> str:
    done = subprocess.run(["img2img", *map(str, words)], check=True, stdout=subprocess.PIPE, text=True)
    return done.stdout


if __name__ == "__main__":
    main()
