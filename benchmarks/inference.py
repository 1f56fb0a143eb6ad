"""Compares img2img with a PyTorch script, and measures start-up and memory.

python benchmarks/inference.py [--model upscale-x4] [--rounds 5]

The PyTorch script needs the training packages. Ratios are medians of pairs that run in turn.
"""

import argparse
import json
import sys
import tempfile
import time
from pathlib import Path

import numpy as np
import torch
from onnx import numpy_helper
from photo import photo, upscale
from PIL import Image
from processes import in_turn, median, ratio, run

from img2img.exchange import model_files
from img2img.runtime.network import models, session

HERE = Path(__file__).parent


def weights_of(model: Path, target: Path) -> Path:
    """The weights of one of our compact ONNX files as a .pth in the published layout."""
    graph = model_files.load(model).graph  # the weights are stored with 16 bits
    tensors = {t.name: torch.from_numpy(numpy_helper.to_array(t).copy()) for t in graph.initializer}
    state = {}
    # There, PReLU is x + (slope - 1) * min(x, 0). The only products are those with slope - 1.
    layers = [node.input for node in graph.node if node.op_type in ("Conv", "Mul") and node.input[1] in tensors]
    for i, (_, weight, *bias) in enumerate(layers):
        state[f"body.{i}.weight"] = tensors[weight] if bias else tensors[weight].flatten() + 1
        if bias:
            state[f"body.{i}.bias"] = tensors[bias[0]]
    torch.save(state, target)
    return target


def against_eager(model: str, folder: Path, rounds: int) -> None:
    """One 512x512 photo, whole process, against the eager script."""
    path = models.find(model)
    scale = session.load(path).card.scale
    source = photo((512, 512), folder / "512.png")
    pth = weights_of(path, folder / "weights.pth")
    ours = upscale(model, source, folder / "ours.png")
    eager = [sys.executable, HERE / "eager_script.py", pth, source, folder / "eager.png", scale]
    usages = in_turn({"ours": ours, "eager": [str(word) for word in eager]}, rounds)
    a, b = (np.asarray(Image.open(folder / f"{name}.png")).astype(int) for name in ("ours", "eager"))
    for name, values in usages.items():
        wall, cpu, peak = (median(values, figure) for figure in ("wall", "cpu", "peak"))
        print(f"  {name:<6} wall {wall:6.2f} s  cpu {cpu:6.2f} s  peak {peak:6.0f} MB")
    figures = {figure: ratio(usages["ours"], usages["eager"], figure) for figure in ("wall", "cpu", "peak")}
    print("  ours / eager: " + "  ".join(f"{name} {value:.2f}" for name, value in figures.items()))
    print(f"  largest difference of the two results: {np.abs(a - b).max()} of 255")


def start_up(model: str, folder: Path, rounds: int) -> None:
    """`--help` next to an empty Typer program, and a 16x16 picture from a cold start."""
    empty = folder / "empty.py"
    empty.write_text("import typer\napp = typer.Typer()\n@app.command()\ndef main(): ...\napp()\n")
    tiny = photo((16, 16), folder / "16.png")
    usages = in_turn(
        {
            "img2img --help": [sys.executable, "-m", "img2img", "--help"],
            "empty Typer program --help": [sys.executable, str(empty), "--help"],
            "upscale of 16x16": upscale(model, tiny, folder / "o.png"),
            "import onnxruntime, numpy, PIL": [sys.executable, "-c", "import onnxruntime, numpy, PIL.Image"],
        },
        rounds,
    )
    for name, values in usages.items():
        print(f"  {name:<32} {median(values, 'wall'):.3f} s")


def memory(model: str, folder: Path) -> None:
    """Peak memory of one picture with 4 and 100 megapixels of output, and of many pictures and one."""
    scale = session.load(models.find(model)).card.scale
    for megapixels in (4, 100):
        side = round((megapixels * 1e6) ** 0.5 / scale)
        source = photo((side, side), folder / f"{megapixels}.png")
        usage = run(upscale(model, source, folder / "big.png"))
        canvas = (side * scale) ** 2 * 3 / 2**20
        print(f"  {megapixels:>3} MP of output: peak {usage.peak:.0f} MB (canvas {canvas:.0f} MB), {usage.wall:.1f} s")
    rng = np.random.default_rng(0)
    for count in (1, 20, 100):
        inputs = folder / f"{count}-sizes"
        inputs.mkdir()
        for i in range(count):
            size = (300, 300) if i == 0 else (int(rng.integers(16, 300)), int(rng.integers(16, 300)))
            photo(size, inputs / f"{i:03}.jpg", i)
        print(f"  {count:>3} photos of as many sizes: peak {run(upscale(model, inputs, f'{folder}/o/')).peak:.0f} MB")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--model", default="upscale-x4")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--skip", nargs="*", default=[], choices=["eager", "start", "memory"])
    options = parser.parse_args()
    print(
        json.dumps({"torch": torch.__version__, "threads": torch.get_num_threads(), "time": time.strftime("%Y-%m-%d")})
    )
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        if "eager" not in options.skip:
            print("a 512x512 photo, whole process, against a PyTorch eager script with the same network:")
            against_eager(options.model, folder, options.rounds)
        if "start" not in options.skip:
            print("start-up, whole process:")
            start_up(options.model, folder, options.rounds)
        if "memory" not in options.skip:
            print("memory:")
            memory(options.model, folder)


if __name__ == "__main__":
    main()
