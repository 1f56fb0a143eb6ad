"""Find the training picture that is most similar to a result: a model that memorises returns training pictures."""

from collections.abc import Callable, Sequence

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from img2img.evaluation.results import Picture, Ratio, spread

SIDE = 32
"""Side in pixels at which pictures are compared."""
MAX_PICTURES = 5000
"""The most training pictures to compare with, evenly spread over all."""

Read = Callable[[], Picture]
"""Reads a picture, uint8 RGB `[H, W, 3]`."""


class TrainingPictures:
    """Pictures that a model was trained on.

    Pictures are compared at 32 x 32 pixels, as they are and mirrored, because training mirrors them. Copies that are
    cropped or recoloured are not found.

    Args:
        reads: one per picture; at least one.

    Raises:
        PictureError: a picture cannot be read.
    """

    def __init__(self, reads: Sequence[Read]) -> None:
        self.reads = spread(reads, MAX_PICTURES)
        self._thumbnails = np.stack([thumbnail(read()) for read in self.reads])
        self._lengths = (self._thumbnails**2).sum(1)

    def novelty(self, result: Picture, real: Picture) -> Ratio:
        """The `distance` of a result, divided by that of a real picture that the model was not trained on.

        0 is a copy of a training picture. About 1 is as new as real pictures are.
        """
        return Ratio(self.distance(result), self.distance(real))

    def distance(self, picture: Picture) -> float:
        """The root mean square difference to the most similar training picture, 0..1."""
        return self._find(picture)[1]

    def nearest(self, picture: Picture) -> Picture:
        """The most similar training picture, at its own size."""
        return self.reads[self._find(picture)[0]]()

    def _find(self, picture: Picture) -> tuple[int, float]:
        """The place of the most similar training picture, and its distance."""
        found = []
        for one in (thumbnail(picture), thumbnail(picture[:, ::-1])):
            place = int((self._lengths - 2 * self._thumbnails @ one).argmin())
            found.append((float(np.sqrt(((self._thumbnails[place] - one) ** 2).mean())) / 255, place))
        distance, place = min(found)
        return place, distance


def thumbnail(picture: Picture) -> NDArray[np.float32]:
    """The values of `picture`, 0..255, at 32 x 32 pixels, as one vector."""
    image = Image.fromarray(np.ascontiguousarray(picture))
    small = image.resize((SIDE, SIDE), Image.Resampling.BOX)
    return np.asarray(small, np.float32).reshape(-1)
