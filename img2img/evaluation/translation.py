"""How near translations of pairs come to the truth, beside copying and remembering."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from img2img.data.pairs import Pair, find_pairs
from img2img.errors import DataError
from img2img.evaluation.cases import MOST_PSNR, Case, Figure, Picture, Share, gradient, spread
from img2img.evaluation.metrics import psnr, ssim
from img2img.runtime.image.resize import lanczos

if TYPE_CHECKING:
    from img2img.runtime.network.network import Network
    from img2img.runtime.network.sizing import Size

Translate = Callable[[Picture, str], Picture]
"""A picture, and the domain to bring it to ("" where there is but one)."""

THUMB = 32
"""Side in pixels at which inputs are compared to find the nearest."""


def figures(result: Picture, truth: Picture) -> dict[str, Figure]:
    """`l1` (0..1, lower is better), `psnr` in dB (at most 100) and `ssim` on RGB, and `sharpness`: the mean size of the
    gradients as a share of the truth's, below 1 blurred, above 1 noisy. Both uint8 RGB of one size.

    Raises:
        DataError: a side is below 11 pixels, or the sizes differ.
    """
    try:
        similar = ssim(result, truth)
    except ValueError as error:
        raise DataError(f"two pictures cannot be compared: {error}") from error
    return {
        "l1": float(np.abs(result.astype(np.float64) - truth).mean()) / 255,
        "psnr": min(psnr(result, truth), MOST_PSNR),
        "ssim": similar,
        "sharpness": Share(gradient(result), gradient(truth)),
    }


def by_model(model: "Network", size: "Size" = "keep") -> Translate:
    """As `img2img translate` does it; `size` as its --size."""
    from img2img.runtime.image import pictures as runtime
    from img2img.runtime.tasks import translate

    def run(picture: Picture, to: str) -> Picture:
        result = translate.translate(model, runtime.Picture(picture), to=to or (), size=size)
        return np.asarray(result.colour, np.uint8)

    return run


@dataclass(frozen=True)
class PairSet:
    """Pairs to measure, and others, from which the nearest is taken; `about` says how they lie."""

    measured: list[Pair]
    others: list[Pair]
    about: str


def pairs(
    folders: Sequence[Path], *, train: Sequence[Path] = (), held_out: bool = False, count: int | None = None
) -> PairSet:
    """The pairs of `folders` (see `data.pairs.find_pairs`).

    Args:
        train: where the training pairs are; empty: those of `folders` that are not held out, if `held_out`.
        held_out: measure only the pairs that a training on these folders holds out.
        count: measure at most so many, evenly spread.

    Raises:
        DataError: as `find_pairs`.
    """
    found = find_pairs(folders)
    measured = found.test if held_out else found.train + found.test
    others = found.train if held_out else []
    if train:
        known = find_pairs(train)
        others = known.train + known.test
    own = {(pair.input, pair.target) for pair in measured}
    others = [pair for pair in others if (pair.input, pair.target) not in own]
    return PairSet(spread(measured, count), others, found.layout)


def evaluate_pairs(ways: Mapping[str, Translate], data: PairSet) -> Iterator[Case]:
    """`figures` of copying the input, of the nearest training pair's target, where there are some, and of `ways`.

    Targets of another size than their input are resized to it, as in training.

    Raises:
        PictureError, DataError: a picture cannot be read, or is too small.
    """
    nearest = Nearest(data.others) if data.others else None
    for pair in data.measured:
        source, truth = pair.read()
        source, truth = np.ascontiguousarray(source), np.ascontiguousarray(truth)
        size = (source.shape[1], source.shape[0])
        truth = lanczos(truth, size)
        results = {"copy": source}
        if nearest is not None:
            results["nearest"] = lanczos(nearest(source), size)
        results |= {way: translate(source, "") for way, translate in ways.items()}
        shown = {"input": source, **{way: one for way, one in results.items() if way != "copy"}, "truth": truth}
        yield Case(pair.name, {way: figures(result, truth) for way, result in results.items()}, shown)


class Nearest:
    """What a network would give that does nothing but remember: the target of the training pair whose input is nearest
    (Euclidean, of 32 x 32 pixels)."""

    def __init__(self, pairs: Sequence[Pair]) -> None:
        self.pairs = pairs
        self._thumbs = np.stack([_thumb(pair.read_input()) for pair in pairs])

    def __call__(self, source: Picture) -> Picture:
        """Its target, uint8 RGB at its own size."""
        place = int(((self._thumbs - _thumb(source)) ** 2).sum(1).argmin())
        return np.ascontiguousarray(self.pairs[place].read()[1])


def _thumb(picture: Picture) -> NDArray[np.float32]:
    image = Image.fromarray(np.ascontiguousarray(picture))
    return np.asarray(image.resize((THUMB, THUMB), Image.Resampling.BOX), np.float32).reshape(-1)
