"""Measure super-resolution as the papers do: PSNR and SSIM on Y, without a border as wide as the scale."""

import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from img2img.data.bicubic import imresize
from img2img.data.folders import Reading, find, read_rgb
from img2img.errors import DataError
from img2img.evaluation.metrics import luma, psnr, ssim
from img2img.runtime.files.source import on_disk

Picture = NDArray[np.uint8]


@dataclass(frozen=True)
class Pair:
    """A picture in high and low resolution, uint8 RGB `[h * scale, w * scale, 3]` and `[h, w, 3]`."""

    name: str
    low: Picture
    high: Picture


@dataclass(frozen=True)
class Score:
    """PSNR in dB and SSIM of one result, on Y."""

    psnr_y: float
    ssim_y: float


def pairs(folder: Path, scale: int, reading: Reading = Reading()) -> Iterator[Pair]:
    """The pictures of `folder` in both resolutions.

    A benchmark folder has files `NAME_HR` and `NAME_LR`. In any other folder, every picture is a high-resolution one,
    and MATLAB's bicubic makes its low-resolution version. High-resolution pictures are cropped to a multiple of
    `scale` at the right and the bottom.

    Raises:
        DataError: there are no pictures, an `_HR` file has no `_LR` file, or sizes do not fit `scale`.
    """
    paths = find([folder])
    benchmark = [path for path in paths if path.stem.endswith("_HR")]
    for path in benchmark or paths:
        high = read_rgb(path, reading)
        height, width = (side // scale * scale for side in high.shape[:2])
        high = high[:height, :width]
        if not benchmark:
            yield Pair(path.stem, imresize(high, 1 / scale), high)
            continue
        low_path = on_disk(path.with_stem(re.sub("_HR$", "_LR", path.stem)))
        if not low_path.exists():
            raise DataError(f"{path}: its low-resolution version {low_path.name} is missing", path=low_path)
        low = read_rgb(low_path, reading)
        if (low.shape[0] * scale, low.shape[1] * scale) != (height, width):
            raise DataError(
                f"{low_path}: {low.shape[1]}x{low.shape[0]} pixels are not 1/{scale} of {path.name} ({width}x{height});"
                f" the model enlarges {scale} times, choose the folder for this scale",
                path=low_path,
            )
        yield Pair(path.stem.removesuffix("_HR"), low, high)


def score(result: Picture, truth: Picture, scale: int) -> Score:
    """Compare a result with the truth. Both are uint8 RGB of the same size, with sides of at least `11 + 2 * scale`.

    Raises:
        DataError: the picture is too small to measure.
    """
    a, b = luma(result), luma(truth)
    try:
        return Score(psnr(a, b, border=scale), ssim(a, b, border=scale))
    except ValueError as error:
        raise DataError(f"a picture is too small to measure: {error}") from error


def evaluate(upscale: Callable[[Picture], Picture], folder: Path, scale: int) -> Iterator[tuple[str, Score, Score]]:
    """Run `upscale` on every pair. Yields (name, score of bicubic, score of `upscale`)."""
    for pair in pairs(folder, scale):
        bicubic = imresize(pair.low, float(scale))
        yield pair.name, score(bicubic, pair.high, scale), score(upscale(pair.low), pair.high, scale)


def mean(scores: list[Score]) -> Score:
    """The mean of PSNR and of SSIM."""
    return Score(float(np.mean([s.psnr_y for s in scores])), float(np.mean([s.ssim_y for s in scores])))
