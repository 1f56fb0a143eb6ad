"""Compare restorers, models of scale 1, on photos with standard faults: JPEG artefacts and noise."""

from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path

import numpy as np

from img2img.data.folders import Reading, find, hold_out, read_rgb
from img2img.data.jpeg_noise import STANDARD
from img2img.errors import DataError
from img2img.evaluation.metrics import luma, psnr
from img2img.evaluation.results import MAX_PSNR, Case, Figure, Picture, spread
from img2img.evaluation.upscaling import Upscale

BORDER = 1
"""Pixels on each side that are not measured: the scale, as for upscalers."""


def photos(folders: list[Path], *, held_out: bool = False, count: int | None = None) -> list[Path]:
    """At most `count` photos of `folders`, evenly spread, or of those that a training on these folders holds out.

    Raises:
        DataError: there are none.
    """
    paths = find(folders)
    return spread(hold_out(paths)[1] if held_out else paths, count)


def evaluate(candidates: Mapping[str, Upscale], paths: Iterable[Path], reading: Reading = Reading()) -> Iterator[Case]:
    """PSNR on Y of the input and of each candidate, for every photo with each of the standard faults.

    `psnr_y_FAULT` belongs to one fault, and `psnr_y` is the mean over all. The noise is the same every time.

    Raises:
        DataError: a photo is too small to measure.
    """
    faults = list(STANDARD.items())
    for place, path in enumerate(paths):
        truth = read_rgb(path, reading)
        if min(truth.shape[:2]) <= 2 * BORDER:
            raise DataError(f"{path}: too small to measure", path=path)
        figures: dict[str, dict[str, float]] = {}
        shown: dict[str, Picture] = {}
        for number, (fault, add) in enumerate(faults):
            poor = add(truth, np.random.default_rng(number))
            results = {"input": poor} | {name: restore(poor) for name, restore in candidates.items()}
            for name, result in results.items():
                error = psnr(luma(result), luma(truth), border=BORDER)
                figures.setdefault(name, {})[f"psnr_y_{fault}"] = min(error, MAX_PSNR)
            if number == place % len(faults):  # a sheet shows all faults, each on another photo
                shown = {**results, "truth": truth}
        whole: dict[str, dict[str, Figure]] = {
            name: {"psnr_y": float(np.mean(list(found.values()))), **found} for name, found in figures.items()
        }
        yield Case(path.stem, whole, shown)
