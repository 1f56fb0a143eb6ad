"""Measures KID in the holes of held-out photos, with features of a classifier that is trained on the spot.

python examples/inpainting/kid.py PHOTOS --held-out PHOTOS [--model inpaint] [--steps 600]

The classifier learns to tell photos, holes filled by Telea and blurred holes apart, in windows around the holes of
PHOTOS. KID compares its features of the windows around the holes of the held-out photos with those of the photos
themselves. The holes are those of `img2img evaluate`.
"""

import argparse
import tempfile
from pathlib import Path

import cv2
import numpy as np
from PIL import Image

from img2img.data import folders
from img2img.evaluation import domain_classifier
from img2img.evaluation.inpainting import Fill, Hole, from_model, holes, telea
from img2img.evaluation.kernel_distance import kid
from img2img.evaluation.results import Picture
from img2img.runtime.network import session

SIDE = 128
"""Side of a window in pixels, of photos reduced to 256."""


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("photos", type=Path, nargs="+")
    parser.add_argument("--held-out", type=Path, nargs="+", required=True, help="photos that no model was trained on")
    parser.add_argument("--model", action="append", help="model name or file; may be repeated")
    parser.add_argument("--steps", type=int, default=600)
    parser.add_argument("--threads", type=int, default=1)
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as place:
        classifier = _classifier(folders.find(options.photos), Path(place), options.steps, options.threads)
    candidates: dict[str, Fill] = {"telea": telea}
    candidates |= {name: from_model(session.load(name, device="cpu")) for name in options.model or ["inpaint"]}
    windows: dict[str, list[Picture]] = {name: [] for name in ("photo", *candidates)}
    for case in holes(folders.find(options.held_out)):
        windows["photo"].append(_window(case.photo, case))
        for name, fill in candidates.items():
            windows[name].append(_window(fill(case.photo, case.mask), case))
    features = {name: classifier.features(found) for name, found in windows.items()}
    for name in candidates:
        distance = kid(features["photo"], features[name])
        print(f"{name}: KID {distance.value:.3f} +- {distance.error:.3f} over {len(features[name])} holes")


def _classifier(paths: list[Path], place: Path, steps: int, threads: int) -> domain_classifier.DomainClassifier:
    fills: dict[str, Fill] = {"photo": lambda photo, _: photo, "telea": telea, "blurred": _blurred}
    for name in fills:
        (place / name).mkdir()
    for number, case in enumerate(holes(paths)):
        for name, fill in fills.items():
            Image.fromarray(_window(fill(case.photo, case.mask), case)).save(place / name / f"{number}.png")
    return domain_classifier.train([sorted((place / name).iterdir()) for name in fills], steps=steps, threads=threads)


def _blurred(photo: Picture, mask: np.ndarray) -> Picture:
    return np.where(mask[:, :, None] > 0, cv2.GaussianBlur(telea(photo, mask), (0, 0), 4), photo)


def _window(picture: Picture, case: Hole) -> Picture:
    """The part of `picture` around the centre of the hole."""
    rows, columns = np.nonzero(case.mask)
    top, left = (
        int(np.clip(np.mean(line) - SIDE / 2, 0, length - SIDE))
        for line, length in zip((rows, columns), case.mask.shape, strict=True)
    )
    return np.ascontiguousarray(picture[top : top + SIDE, left : left + SIDE])


if __name__ == "__main__":
    main()
