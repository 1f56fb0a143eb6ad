"""Writes a sheet of photos coloured by models: the best, the middle and the worst of all held-out photos.

python examples/compare_colours.py OUT.jpg MODEL [MODEL ...] --data FOLDER [--rows 3] [--side 200] [--names L1,GAN]

The last model decides: photos are sorted by the chroma L1 of its result minus that of the grey photo. With --old
FOLDER, the sheet shows old grey photos instead. Nobody knows their colours.
"""

import argparse
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from img2img.data import folders
from img2img.data.folders import read_rgb
from img2img.evaluation import colorization, translation
from img2img.evaluation.results import value
from img2img.runtime.image.resize import lanczos
from img2img.runtime.network import session
from img2img.training.sheets import contact_sheet


def shown(picture: NDArray[np.uint8], side: int) -> NDArray[np.uint8]:
    """The central square, at most 4:3 wide or high, reduced to a height of `side`."""
    height, width = picture.shape[:2]
    wide = min(width, height * 4 // 3)
    high = min(height, width * 4 // 3)
    top, left = (height - high) // 2, (width - wide) // 2
    cut = np.ascontiguousarray(picture[top : top + high, left : left + wide])
    return np.asarray(lanczos(cut, (round(wide * side / high), side)), np.uint8)


parser = argparse.ArgumentParser(description=__doc__)
parser.add_argument("out", type=Path)
parser.add_argument("models", type=Path, nargs="+")
parser.add_argument("--data", type=Path, action="append", default=[])
parser.add_argument("--old", type=Path)
parser.add_argument("--rows", type=int, default=3)
parser.add_argument("--side", type=int, default=200)
parser.add_argument("--names", default="")
options = parser.parse_args()

names = options.names.split(",") if options.names else [path.stem for path in options.models]
models = {
    name: translation.from_model(session.load(path, device="cpu"), "fit")
    for name, path in zip(names, options.models, strict=True)
}
rows, gains = [], []
if options.old:
    for path in folders.find([options.old]):
        source = read_rgb(path)
        rows.append([source, *(run(source, "") for run in models.values())])
    columns = ["old photo", *models]
else:
    data = colorization.photos(options.data, held_out=True)
    for case in colorization.Comparison(models, data, None).cases():
        rows.append(list(case.pictures.values()))
        gains.append(value(case.figures[names[-1]]["chroma_l1"]) - value(case.figures["copy"]["chroma_l1"]))
    middle = (len(rows) - options.rows) // 2
    order = np.argsort(gains, kind="stable")
    chosen = [*order[: options.rows], *order[middle : middle + options.rows], *order[-options.rows :]]
    rows = [rows[place] for place in chosen]
    columns = ["grey", *models, "photo"]
contact_sheet(columns, [[shown(picture, options.side) for picture in row] for row in rows]).save(
    options.out, quality=85
)
