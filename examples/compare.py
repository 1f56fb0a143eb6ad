"""Shrinks a photo, enlarges it again, and writes the results next to the original.

python examples/compare.py PHOTO OUT.png [--model upscale-x4] [--crop x,y,width,height]
"""

import argparse
from pathlib import Path

import numpy as np
from PIL import Image

from img2img.data.bicubic import imresize
from img2img.data.folders import read_rgb
from img2img.evaluation.super_resolution import score
from img2img.runtime.network import session, tiling
from img2img.training.sheets import contact_sheet

parser = argparse.ArgumentParser(description=__doc__)
parser.add_argument("photo", type=Path)
parser.add_argument("out", type=Path)
parser.add_argument("--model", default="upscale-x4")
parser.add_argument("--crop", type=lambda text: [int(part) for part in text.split(",")])
options = parser.parse_args()

model = session.load(options.model)
scale = model.card.scale
truth = read_rgb(options.photo)
truth = truth[: truth.shape[0] // scale * scale, : truth.shape[1] // scale * scale]
low = imresize(truth, 1 / scale)
nearest = np.asarray(Image.fromarray(low).resize(truth.shape[1::-1], Image.Resampling.NEAREST))
bicubic, ours = imresize(low, float(scale)), tiling.run_tiled(model, low)
captions = ["low resolution", *(f"{name}  {score(picture, truth, scale).psnr_y:.2f} dB"
                                for name, picture in (("bicubic", bicubic), (model.name, ours))), "truth"]  # fmt: skip
x, y, width, height = options.crop or (0, 0, truth.shape[1], truth.shape[0])
row = [picture[y : y + height, x : x + width] for picture in (nearest, bicubic, ours, truth)]
contact_sheet(captions, [row]).save(options.out)
