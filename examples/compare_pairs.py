"""Writes the results of several models for held-out pairs side by side, and prints their distances to the targets.

python examples/compare_pairs.py RUN/config.toml OUT.png MODEL.onnx [MODEL.onnx ...] [--rows 6] [--names L1,GAN]

RUN is a pix2pix run. Its configuration says which pairs were held out. "copy" is the unchanged input. L1, PSNR and SSIM
favour the mean of all possible results. "colours" is the intersection of the histograms of Lab's a and b with those of
the targets (Isola et al. 2017, section 4.2, figure 7; 1 for the targets themselves). SWD is the sliced Wasserstein
distance of patches. Both are computed over all pictures together.
"""

import argparse
from pathlib import Path

import cv2
import numpy as np
from numpy.typing import NDArray

from img2img.data.paired import PairedSet
from img2img.evaluation.sliced_wasserstein import sliced_wasserstein
from img2img.methods.figures import distances, spread, to_rgb
from img2img.methods.pix2pix import Config
from img2img.runtime.network import session, tiling
from img2img.training.sheets import contact_sheet


def colours(pictures: list[NDArray[np.uint8]]) -> list[NDArray[np.float64]]:
    """Histograms of a and of b over all pictures, each with a sum of 1. White, which covers most of
    an emoji, is left out: it says nothing about how bold the colours are."""
    lab = np.concatenate([cv2.cvtColor(picture, cv2.COLOR_RGB2LAB).reshape(-1, 3) for picture in pictures])
    painted = lab[(np.abs(lab[:, 1:].astype(int) - 128) > 4).any(1)]
    return [np.histogram(painted[:, channel], 64, (0, 256))[0] / max(len(painted), 1) for channel in (1, 2)]


parser = argparse.ArgumentParser(description=__doc__)
parser.add_argument("config", type=Path)
parser.add_argument("out", type=Path)
parser.add_argument("models", type=Path, nargs="+")
parser.add_argument("--rows", type=int, default=6)
parser.add_argument("--names", default="")
options = parser.parse_args()

config = Config.load(options.config)
pairs = PairedSet.read(config.data, seed=config.seed)
names = options.names.split(",") if options.names else [model.parent.name for model in options.models]
sources = [pairs.input_as_rgb(held.input) for held in pairs.held_out]
truths = [to_rgb(held.target) for held in pairs.held_out]
columns = {"input": sources}
for name, path in zip(names, options.models, strict=True):
    model = session.load(path)
    columns[name] = [tiling.run_tiled(model, np.ascontiguousarray(source)) for source in sources]
columns["truth"] = truths
print(f"{len(truths)} held-out pairs\n{'':<12}{'L1':>8}{'PSNR':>8}{'SSIM':>8}{'SWD':>8}{'colours a, b':>16}")
for name, results in columns.items():
    if name == "truth" or (name == "input" and pairs.palette is not None):
        continue
    figures = distances(results, truths)
    shared = [np.minimum(*both).sum() for both in zip(colours(results), colours(truths), strict=True)]
    print(
        f"{'copy' if name == 'input' else name:<12}{figures['l1']:>8.4f}{figures['psnr']:>8.2f}{figures['ssim']:>8.3f}"
        f"{sliced_wasserstein(results, truths):>8.4f}{shared[0]:>9.2f} {shared[1]:>6.2f}"
    )
contact_sheet(list(columns), spread(list(zip(*columns.values(), strict=True)), options.rows)).save(options.out)
