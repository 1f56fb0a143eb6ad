"""Draws photos with a large box-shaped hole beside the photos that a model makes of them.

python examples/inpainting/sheet.py PHOTOS [--model inpaint] [--count 24] -o sheet.jpg

The holes are those of `img2img evaluate`: 10 to 40 % of the central square, which is reduced to 256 pixels.
"""

import argparse
from pathlib import Path

import numpy as np
from PIL import Image

from img2img.data import folders
from img2img.evaluation.inpainting import HOLE_COLOUR, from_model, holes
from img2img.evaluation.results import spread
from img2img.runtime.network import session

COLUMNS, SIDE, GAP = 4, 144, 4


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("photos", type=Path, nargs="+")
    parser.add_argument("--model", default="inpaint")
    parser.add_argument("--count", type=int, default=24)
    parser.add_argument("-o", "--out", type=Path, required=True)
    options = parser.parse_args()
    fill = from_model(session.load(options.model, device="cpu"))
    cases = [hole for hole in holes(spread(folders.find(options.photos), options.count)) if " box " in hole.name]
    rows = -(-len(cases) // COLUMNS)
    sheet = Image.new("RGB", (COLUMNS * (2 * SIDE + GAP) - GAP, rows * (SIDE + GAP) - GAP), "white")
    for number, case in enumerate(cases):
        empty = np.where(case.mask[:, :, None] > 0, np.array(HOLE_COLOUR, np.uint8), case.photo)
        left, top = number % COLUMNS * (2 * SIDE + GAP), number // COLUMNS * (SIDE + GAP)
        for place, picture in enumerate((empty, fill(case.photo, case.mask))):
            small = Image.fromarray(picture).resize((SIDE, SIDE), Image.Resampling.LANCZOS)
            sheet.paste(small, (left + place * SIDE, top))
    sheet.save(options.out, quality=88)


if __name__ == "__main__":
    main()
