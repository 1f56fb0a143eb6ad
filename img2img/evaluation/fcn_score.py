"""The FCN-score: whether a segmentation network that learned from real photos finds the label map in a made photo.

Isola et al. 2017 (pix2pix), section 4.1, with the figures of Long et al. 2015, section 5. The papers use an FCN-8s that
was trained on Cityscapes. Here a small network learns on the spot, so compare figures within one table only. The row of
the real photos shows what this network can reach.
"""

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from img2img.data import labels
from img2img.data.folders import Reading
from img2img.data.pairs import Pair
from img2img.evaluation import segmentation
from img2img.evaluation.results import Picture
from img2img.evaluation.segmentation import Classes, LabelledPhoto, Segmenter

Palette = NDArray[np.uint8]
"""The colours of the classes, `[K, 3]`."""


class Confusion:
    """Counts the pixels of each true class and each predicted class.

    Attributes:
        counts: `[K, K]`; `counts[i, j]` pixels of class i were taken for class j.
    """

    def __init__(self, classes: int) -> None:
        self.counts = np.zeros((classes, classes), np.int64)

    def add(self, truth: Classes, predicted: Classes) -> None:
        """Count the pixels of one photo."""
        classes = len(self.counts)
        places = truth.astype(np.int64).ravel() * classes + predicted.ravel()
        self.counts += np.bincount(places, minlength=classes**2).reshape(classes, classes)

    def figures(self) -> dict[str, float]:
        """pixel_accuracy, class_accuracy and mean_iou, 0..1; higher is better.

        Classes that occur neither in the truth nor in the prediction are ignored; so are, for class_accuracy, classes
        that do not occur in the truth.
        """
        right = np.diag(self.counts).astype(np.float64)
        true, predicted = self.counts.sum(1), self.counts.sum(0)
        either = true + predicted - right
        return {
            "pixel_accuracy": float(right.sum() / true.sum()),
            "class_accuracy": float((right[true > 0] / true[true > 0]).mean()),
            "mean_iou": float((right[either > 0] / either[either > 0]).mean()),
        }


class FCNScore:
    """Compares the classes that a segmentation network finds in photos with their label maps.

    Args:
        palette: the colours of the classes, `[K, 3]`, sorted.
    """

    def __init__(self, segmenter: Segmenter, palette: Palette) -> None:
        self.segmenter = segmenter
        self.palette = palette
        self._found: dict[str, Confusion] = {}

    def add(self, name: str, photos: Sequence[Picture], label_map: Picture) -> tuple[int, int]:
        """Count the pixels of photos of one label map for the candidate `name`.

        Args:
            label_map: uint8 RGB `[H, W, 3]`.

        Returns:
            The number of pixels with the right class, and of all pixels.

        Raises:
            DataError: the label map has a colour that is not in the palette.
        """
        truth = labels.to_classes(label_map, self.palette, name="a label map")[..., 0]
        truth = segmentation.resized_classes(truth, self.segmenter.side)
        confusion = self._found.setdefault(name, Confusion(len(self.palette)))
        right = 0
        for photo in photos:
            predicted = self.segmenter(photo)
            confusion.add(truth, predicted)
            right += int((truth == predicted).sum())
        return right, truth.size * len(photos)

    def figures(self) -> dict[str, dict[str, float]]:
        """Candidate -> the figures of all its photos, see `Confusion.figures`."""
        return {name: one.figures() for name, one in self._found.items()}


def find_palette(pairs: Sequence[Pair], reading: Reading) -> Palette | None:
    """The classes of the inputs of `pairs` if they are label maps, recognised as in training; otherwise None."""
    found = labels.count_colours(len(pairs), lambda place: pairs[place].read_input(reading), most=labels.MAX_COLOURS)
    return found.palette if found.flat else None


def train(
    pairs: Sequence[Pair],
    palette: Palette,
    *,
    seed: int = 0,
    steps: int = segmentation.STEPS,
    threads: int | None = None,
    reading: Reading = Reading(),
) -> FCNScore:
    """Train a segmentation network on the label maps (inputs) and photos (targets) of `pairs`.

    Raises:
        PictureError: a file cannot be read.
    """
    side = segmentation.SIDE
    photos = []
    for pair in pairs:
        label_map, photo = pair.read(reading)
        classes = labels.to_classes(label_map, palette, name=str(pair.input.path))[..., 0]
        photos.append(LabelledPhoto(photo, classes).resized(side))
    network = segmentation.train(photos, len(palette), side=side, seed=seed, steps=steps, threads=threads)
    return FCNScore(Segmenter(network, side), palette)
