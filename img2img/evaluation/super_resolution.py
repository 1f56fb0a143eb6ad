"""Super-resolution measured like the papers: PSNR and SSIM on Y, border cropped by the scale, against bicubic."""

import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from img2img.data.bicubic import imresize
from img2img.data.folders import find, read_rgb
from img2img.errors import DataError
from img2img.evaluation.metrics import luma, psnr, ssim

Picture = NDArray[np.uint8]


@dataclass(frozen=True)
class Pair:
    """A picture and its low-resolution twin, uint8 RGB `[h * scale, w * scale, 3]` and `[h, w, 3]`."""

    name: str
    low: Picture
    high: Picture


@dataclass(frozen=True)
class Score:
    """PSNR in dB and SSIM of one result, on Y."""

    psnr_y: float
    ssim_y: float


def pairs(folder: Path, scale: int) -> Iterator[Pair]:
    """The pictures of `folder` to measure with.

    A benchmark folder holds `NAME_HR` and `NAME_LR`; of any other folder every picture is
    a truth, and its twin is made by MATLAB's bicubic. Truths are cropped to a multiple of `scale` at right and bottom.

    Raises:
        DataError: no pictures, an `_HR` without its `_LR`, or sizes that do not fit `scale`.
    """
    paths = find([folder])
    truths = [path for path in paths if path.stem.endswith("_HR")]
    for path in truths or paths:
        high = read_rgb(path)
        height, width = (side // scale * scale for side in high.shape[:2])
        high = high[:height, :width]
        if not truths:
            yield Pair(path.stem, imresize(high, 1 / scale), high)
            continue
        twin = path.with_stem(re.sub("_HR$", "_LR", path.stem))
        if not twin.exists():
            raise DataError(f"{path}: its low-resolution twin {twin.name} is missing")
        low = read_rgb(twin)
        if (low.shape[0] * scale, low.shape[1] * scale) != (height, width):
            raise DataError(
                f"{twin}: {low.shape[1]}x{low.shape[0]} is not {path.name} ({width}x{height}) at 1/{scale}: "
                f"the model enlarges {scale} times, is this the folder for it?"
            )
        yield Pair(path.stem.removesuffix("_HR"), low, high)


def score(result: Picture, truth: Picture, scale: int) -> Score:
    """Compare a result with the truth; both uint8 RGB of one size, at least `11 + 2 * scale` pixels on a side.

    Raises:
        DataError: the picture is too small to be measured.
    """
    a, b = luma(result), luma(truth)
    try:
        return Score(psnr(a, b, border=scale), ssim(a, b, border=scale))
    except ValueError as error:
        raise DataError(f"a picture is too small to be measured: {error}") from error


def evaluate(upscale: Callable[[Picture], Picture], folder: Path, scale: int) -> Iterator[tuple[str, Score, Score]]:
    """Run `upscale` on every pair; yields (name, score of bicubic, score of `upscale`)."""
    for pair in pairs(folder, scale):
        bicubic = imresize(pair.low, float(scale))
        yield pair.name, score(bicubic, pair.high, scale), score(upscale(pair.low), pair.high, scale)


def mean(scores: list[Score]) -> Score:
    """The mean of each figure."""
    return Score(float(np.mean([s.psnr_y for s in scores])), float(np.mean([s.ssim_y for s in scores])))
