"""Fits the statistics of good photos that NIQE compares with.

python examples/fit_niqe.py OUT.npz FOLDER [FOLDER ...] --about "fitted on ..."

This is the published procedure (Mittal 2013, section 4): of each photo, the patches of 96x96 pixels that are sharper
than 0.75 of its sharpest patch, and one Gaussian for all of them. `img2img/evaluation/niqe_free_photos.npz` was made
from 783 freely licensed photos and tiles of photos, with
    python examples/fit_niqe.py OUT.npz photos_tiles512 photos_food288 --about "fitted on free photos"
`img2img evaluate --niqe FILE` uses another file.
"""

import argparse
from pathlib import Path

from img2img.atomic import atomic
from img2img.data.folders import find, read_rgb
from img2img.evaluation import niqe

parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
parser.add_argument("out", type=Path)
parser.add_argument("folders", type=Path, nargs="+")
parser.add_argument("--about", required=True, help="what the statistics were fitted on; shown with every figure")
options = parser.parse_args()

paths = find(options.folders)
statistics, patches = niqe.fit(map(read_rgb, paths), options.about)
with atomic(options.out) as file:
    statistics.save(file)
print(f"{options.out}: {patches} sharp patches of {len(paths)} photos")
