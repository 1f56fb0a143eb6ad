"""Figures of one result, and of a side over all pictures."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np

from img2img.errors import DataError
from img2img.evaluation.comparison.rgb import Pixels
from img2img.evaluation.metrics import luma, psnr, ssim
from img2img.evaluation.niqe import niqe
from img2img.evaluation.results import MAX_PSNR

WITH_TRUTH = ("psnr_y", "ssim_y", "l1")
WITHOUT_TRUTH = ("niqe",)
LOWER_IS_BETTER = ("l1", "niqe")


@dataclass(frozen=True)
class Measured:
    """Figures by name, and why others are missing.

    Attributes:
        notes: one reason for each figure that a picture is too small for.
    """

    figures: dict[str, float] = field(default_factory=dict)
    notes: tuple[str, ...] = ()


class Truth:
    """Measures results against one picture. Its luma is computed once.

    Args:
        border: pixels to crop on each side for PSNR and SSIM; the papers use the scale.
    """

    def __init__(self, pixels: Pixels, border: int = 0) -> None:
        self.pixels = pixels
        self.border = border
        self._luma = luma(pixels)

    def measure(self, result: Pixels) -> Measured:
        """PSNR (dB) and SSIM on Y, and the mean absolute difference of RGB (0..1)."""
        figures, notes = {}, []
        own = luma(result)
        try:
            figures["psnr_y"] = min(psnr(own, self._luma, border=self.border), MAX_PSNR)
            figures["ssim_y"] = ssim(own, self._luma, border=self.border)
        except ValueError as error:
            notes.append(str(error))
        difference = np.subtract(result, self.pixels, dtype=np.int16)
        figures["l1"] = float(np.abs(difference, out=difference).mean(dtype=np.float64)) / 255
        return Measured(figures, tuple(notes))


def measure_alone(result: Pixels) -> Measured:
    """NIQE, for results that have no truth."""
    try:
        return Measured({"niqe": niqe(result)})
    except DataError as error:
        return Measured(notes=(str(error),))


@dataclass(frozen=True)
class Total:
    """What is known of a side over all pictures.

    Attributes:
        means: the mean of each figure over the pictures that have it.
        best: figure -> number of pictures in which no other side is better.
        pictures: number of results.
    """

    means: dict[str, float]
    best: dict[str, int]
    pictures: int


def totals(names: Sequence[str], cases: Sequence[dict[str, dict[str, float]]]) -> dict[str, Total]:
    """Sum up the figures of all cases: name of the side -> figure -> value."""
    found = {}
    for name in names:
        own = [case[name] for case in cases if name in case]
        figures = [one for one in (*WITH_TRUTH, *WITHOUT_TRUTH) if any(one in case for case in own)]
        means = {one: float(np.mean([case[one] for case in own if one in case])) for one in figures}
        best = {one: sum(_is_best(case, name, one) for case in cases if name in case) for one in figures}
        found[name] = Total(means, best, len(own))
    return found


def _is_best(case: dict[str, dict[str, float]], name: str, figure: str) -> bool:
    sign = -1 if figure in LOWER_IS_BETTER else 1
    values = {side: sign * found[figure] for side, found in case.items() if figure in found}
    return name in values and values[name] == max(values.values())
