"""Compares a model of cvae-gan that fills holes with Telea's method, on pictures that training held out.

python examples/labels/compare_holes.py RUN STYLES [--hole 0.39] [--sheet FILE]

STYLES has one folder per label. The hole is a square in the middle of each picture; its side is --hole times that of
the picture: 0.39 is 50 of 128 pixels. Prints L1 and PSNR inside the hole.
"""

import argparse
from pathlib import Path

import numpy as np
from compare_identities import read_on_white
from PIL import Image

import img2img
from img2img.data.layouts import held_out_names
from img2img.evaluation.comparison import baselines
from img2img.training.sheets import contact_sheet

ROWS = 8


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("run", type=Path)
    parser.add_argument("styles", type=Path)
    parser.add_argument("--hole", type=float, default=50 / 128, help="side of the hole, as a share of the picture's")
    parser.add_argument("--sheet", type=Path)
    options = parser.parse_args()
    model = img2img.load(options.run / "model.inpaint.onnx")
    side = model.card.side or 128
    length = round(side * options.hole)
    inside = slice((side - length) // 2, (side - length) // 2 + length)
    hole = np.zeros((side, side), bool)
    hole[inside, inside] = True
    mask = Image.fromarray(hole.astype(np.uint8) * 255)
    errors: dict[str, list[tuple[float, float]]] = {"cvae-gan": [], "telea": [], "mean colour of the rim": []}
    rows = []
    for style in model.card.domains:
        paths = {path.name: path for path in (options.styles / style).iterdir()}
        for name in sorted(held_out_names(paths, what=style)):
            truth = read_on_white(paths[name], side)
            blank = truth.copy()
            blank[hole] = 255
            rim = np.broadcast_to(truth[~hole].mean(0).astype(np.uint8), truth.shape)
            results = {
                "cvae-gan": np.asarray(model.run(Image.fromarray(blank), mask=mask, to=style).convert("RGB")),
                "telea": baselines.telea(blank, hole),
                "mean colour of the rim": np.where(hole[..., None], rim, truth),
            }
            for way, result in results.items():
                difference = (result[hole].astype(float) - truth[hole]) / 255
                squared = max(float((difference**2).mean()), 1e-6)
                errors[way].append((float(abs(difference).mean()), -10 * np.log10(squared)))
            rows.append([blank, results["cvae-gan"], results["telea"], truth])
    print(f"{len(rows)} pictures of {side} px, a hole of {length} px\n\n| | L1 | PSNR |\n|---|---|---|")
    for way, found in errors.items():
        l1, psnr = np.mean(found, 0)
        print(f"| {way} | {l1:.3f} | {psnr:.2f} dB |")
    if options.sheet is not None:
        names = ["input", "cvae-gan", "telea", "truth"]
        contact_sheet(names, rows[:: max(1, len(rows) // ROWS)][:ROWS]).save(options.sheet)


if __name__ == "__main__":
    main()
