"""Upscalers side by side: against a truth, or by how natural their results look where there is none."""

from collections.abc import Callable, Iterable, Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from img2img.data.bicubic import imresize
from img2img.data.folders import find, hold_out, read_rgb
from img2img.errors import DataError
from img2img.evaluation import super_resolution as sr
from img2img.evaluation.cases import MOST_PSNR, Case, Figure, Picture, spread
from img2img.evaluation.niqe import Statistics, niqe

if TYPE_CHECKING:
    from img2img.runtime.network.network import Network

Upscale = Callable[[Picture], Picture]


def pairs(folders: list[Path], scale: int, *, held_out: bool = False, count: int | None = None) -> Iterator[sr.Pair]:
    """The pictures of `folders` to measure with, as `super_resolution.pairs` makes them.

    Args:
        held_out: only those that a training on these folders holds out.
        count: at most so many, evenly spread.

    Raises:
        DataError: no pictures; a benchmark's pictures, which nobody trains on, are asked for held-out ones; otherwise
            as `super_resolution.pairs`.
    """
    paths = find(folders)
    truths = [path for path in paths if path.stem.endswith("_HR")]
    if truths and held_out:
        raise DataError(f"{truths[0]}: a benchmark with _HR and _LR pictures is held out as a whole; drop --held-out")
    if truths:
        names = {path.stem.removesuffix("_HR") for path in spread(truths, count)}
        yield from (pair for folder in folders for pair in sr.pairs(folder, scale) if pair.name in names)
        return
    for path in spread(hold_out(paths)[1] if held_out else paths, count):
        high = read_rgb(path)
        height, width = (side // scale * scale for side in high.shape[:2])
        if not height or not width:
            raise DataError(f"{path}: too small to be shrunk {scale} times")
        yield sr.Pair(path.stem, imresize(high[:height, :width], 1 / scale), high[:height, :width])


def chosen(folders: list[Path], *, held_out: bool) -> list[Path]:
    """The pictures of `folders`; of a benchmark the low-resolution ones."""
    paths = find(folders)
    low = [path for path in paths if path.stem.endswith("_LR")]
    return hold_out(paths)[1] if held_out else low or paths


def by_model(model: "Network") -> Upscale:
    """As `img2img upscale` enlarges, at the model's own scale."""
    from img2img.runtime.network import tiling

    return lambda low: np.asarray(tiling.run_tiled(model, low), np.uint8)


def lack_truths(folders: list[Path]) -> bool:
    """Whether all there is in `folders` are the low-resolution pictures of a benchmark."""
    return all(path.stem.endswith("_LR") for path in find(folders))


def with_reference(ways: Mapping[str, Upscale], pairs: Iterable[sr.Pair], scale: int) -> Iterator[Case]:
    """PSNR and SSIM on Y, the border cropped by the scale, of bicubic and each of `ways`.

    Raises:
        DataError: a picture is too small to be measured.
    """
    for pair in pairs:
        results = _results(ways, pair.low, scale)
        figures: dict[str, dict[str, Figure]] = {}
        for way, result in results.items():
            found = sr.score(result, pair.high, scale)
            figures[way] = {"psnr_y": min(found.psnr_y, MOST_PSNR), "ssim_y": found.ssim_y}
        shown = {"input": _enlarged(pair.low, scale), **results, "truth": pair.high}
        yield Case(pair.name, figures, shown)


def without_reference(
    ways: Mapping[str, Upscale], paths: Iterable[Path], scale: int, statistics: Statistics
) -> Iterator[Case]:
    """NIQE of bicubic and each of `ways`, of pictures that are enlarged as they are.

    Raises:
        DataError: a picture is too small, or too flat, to be measured; the file is named.
    """
    for path in paths:
        low = read_rgb(path)
        results = _results(ways, low, scale)
        try:
            figures: dict[str, dict[str, Figure]] = {
                way: {"niqe": niqe(result, statistics)} for way, result in results.items()
            }
        except DataError as error:
            raise DataError(f"{path}: {error} after it was enlarged {scale} times") from error
        yield Case(path.stem, figures, {"input": _enlarged(low, scale), **results})


def _results(ways: Mapping[str, Upscale], low: Picture, scale: int) -> dict[str, Picture]:
    return {"bicubic": imresize(low, float(scale))} | {way: upscale(low) for way, upscale in ways.items()}


def _enlarged(low: Picture, scale: int) -> Picture:
    """As it is, without smoothing."""
    return low.repeat(scale, axis=0).repeat(scale, axis=1)
