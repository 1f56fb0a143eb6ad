"""Fit NIQE's statistics of good photos: what `img2img evaluate` measures pictures without a reference by.

python examples/fit_niqe.py OUT.npz FOLDER [FOLDER ...] --about "fitted on ..."

The published procedure (Mittal 2013, section 4): of each photo the patches of 96x96 pixels that are sharper than 0.75
of its sharpest, one Gaussian of all. `img2img/evaluation/niqe_free_photos.npz` was made by
    python examples/fit_niqe.py OUT.npz photos_tiles512 photos_food288 --about "fitted on free photos"
from 783 freely licensed photos and tiles of photos. Use another file by `img2img evaluate --niqe FILE`.
"""

import argparse
from pathlib import Path

from img2img.atomic import atomic
from img2img.data.folders import find, read_rgb
from img2img.evaluation import niqe

parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
parser.add_argument("out", type=Path)
parser.add_argument("folders", type=Path, nargs="+")
parser.add_argument("--about", required=True, help="whose statistics these are; shown with every figure")
options = parser.parse_args()

paths = find(options.folders)
statistics, patches = niqe.fit(map(read_rgb, paths), options.about)
with atomic(options.out) as file:
    statistics.save(file)
print(f"{options.out}: {patches} sharp patches of {len(paths)} photos")
