"""Compare upscalers: with a high-resolution truth, or by how natural their results look (NIQE)."""

from collections.abc import Callable, Iterable, Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from img2img.data.bicubic import imresize
from img2img.data.folders import Reading, find, hold_out, read_rgb
from img2img.errors import DataError
from img2img.evaluation import super_resolution as sr
from img2img.evaluation.niqe import Statistics, niqe
from img2img.evaluation.results import MAX_PSNR, Case, Distances, Figure, Picture, no_distances, spread

if TYPE_CHECKING:
    from img2img.runtime.network.network import Network

Upscale = Callable[[Picture], Picture]


def pairs(
    folders: list[Path],
    scale: int,
    *,
    held_out: bool = False,
    count: int | None = None,
    reading: Reading = Reading(),
) -> Iterator[sr.Pair]:
    """The pictures of `folders` in both resolutions, as `super_resolution.pairs` makes them.

    Args:
        held_out: use only the pictures that a training on these folders holds out. Does not apply to benchmarks.
        count: use at most so many, evenly spread.

    Raises:
        DataError: there are no pictures, or `held_out` is set for a benchmark; or as `super_resolution.pairs`.
    """
    paths = find(folders)
    benchmark = [path for path in paths if path.stem.endswith("_HR")]
    if benchmark and held_out:
        raise DataError(
            f"{benchmark[0]}: nothing trains on a benchmark with _HR and _LR pictures; omit --held-out",
            path=benchmark[0],
        )
    if benchmark:
        names = {path.stem.removesuffix("_HR") for path in spread(benchmark, count)}
        yield from (pair for folder in folders for pair in sr.pairs(folder, scale, reading) if pair.name in names)
        return
    for path in spread(hold_out(paths)[1] if held_out else paths, count):
        high = read_rgb(path, reading)
        height, width = (side // scale * scale for side in high.shape[:2])
        if not height or not width:
            raise DataError(f"{path}: too small to be reduced {scale} times", path=path)
        yield sr.Pair(path.stem, imresize(high[:height, :width], 1 / scale), high[:height, :width])


def low_resolution_pictures(folders: list[Path], *, held_out: bool) -> list[Path]:
    """The pictures of `folders` to enlarge as they are; those of a benchmark in low resolution."""
    paths = find(folders)
    if held_out:
        return hold_out(paths)[1]
    return [path for path in paths if path.stem.endswith("_LR")] or paths


def from_model(model: "Network") -> Upscale:
    """Enlarge like `img2img upscale`, at the model's own scale."""
    from img2img.runtime.network import tiling

    return lambda low: np.asarray(tiling.run_tiled(model, low), np.uint8)


def is_benchmark(folders: list[Path]) -> bool:
    """Whether `folders` contain pictures of a benchmark: `NAME_LR`, with or without `NAME_HR`."""
    return any(path.stem.endswith(("_HR", "_LR")) for path in find(folders))


def has_no_truth(folders: list[Path]) -> bool:
    """Whether `folders` contain only the low-resolution pictures of a benchmark."""
    return all(path.stem.endswith("_LR") for path in find(folders))


def with_reference(
    candidates: Mapping[str, Upscale],
    pairs: Iterable[sr.Pair],
    scale: int,
    distances: Distances = no_distances,
) -> Iterator[Case]:
    """PSNR and SSIM on Y, without a border as wide as the scale, for bicubic (at scale 1: the input) and each
    candidate. `distances` adds further distances of the whole pictures.

    Raises:
        DataError: a picture is too small to measure.
    """
    for pair in pairs:
        results = _results(candidates, pair.low, scale)
        figures: dict[str, dict[str, Figure]] = {}
        for name, result in results.items():
            score = sr.score(result, pair.high, scale)
            figures[name] = {"psnr_y": min(score.psnr_y, MAX_PSNR), "ssim_y": score.ssim_y}
            figures[name] |= distances(result, pair.high)
        pictures = {"input": _enlarged(pair.low, scale), **results, "truth": pair.high}
        yield Case(pair.name, figures, pictures)


def without_reference(
    candidates: Mapping[str, Upscale],
    paths: Iterable[Path],
    scale: int,
    statistics: Statistics,
    reading: Reading = Reading(),
) -> Iterator[Case]:
    """NIQE of bicubic and each candidate, for pictures that are enlarged as they are.

    Raises:
        DataError: a picture is too small or has too little detail to measure; the message names the file.
    """
    for path in paths:
        low = read_rgb(path, reading)
        results = _results(candidates, low, scale)
        try:
            figures: dict[str, dict[str, Figure]] = {
                name: {"niqe": niqe(result, statistics)} for name, result in results.items()
            }
        except DataError as error:
            raise DataError(f"{path}: {error}, after it was enlarged {scale} times", path=path) from error
        yield Case(path.stem, figures, {"input": _enlarged(low, scale), **results})


def _results(candidates: Mapping[str, Upscale], low: Picture, scale: int) -> dict[str, Picture]:
    """Results by name. The first is the baseline: bicubic, or at scale 1 the input itself."""
    plain = {"input": low} if scale == 1 else {"bicubic": imresize(low, float(scale))}
    return plain | {name: upscale(low) for name, upscale in candidates.items()}


def _enlarged(low: Picture, scale: int) -> Picture:
    """`low` at the size of the result, with nearest-neighbour interpolation."""
    return low.repeat(scale, axis=0).repeat(scale, axis=1)
