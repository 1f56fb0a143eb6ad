"""Self-ensemble: the mean of eight results, of the picture turned and mirrored (Timofte et al. 2016, "Seven ways")."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import numpy.typing as npt

Pixels = npt.NDArray[Any]

RUNS = 8
"""Runs of the network for one result."""


def eightfold(run: Callable[[Pixels], Pixels], plane: Pixels) -> Pixels:
    """Return the mean result of `run` for `plane`, uint8 or uint16 `[H, W, C]`, in its eight orientations.

    Each result is turned back before it is added. `run` may change the size by a factor.
    """
    total: npt.NDArray[np.uint32] | None = None
    for turns in range(4):
        for mirrored in (False, True):
            view = np.rot90(plane[:, ::-1] if mirrored else plane, turns)
            result = np.rot90(run(np.ascontiguousarray(view)), -turns)
            result = result[:, ::-1] if mirrored else result
            total = result.astype(np.uint32) if total is None else np.add(total, result, out=total)
    assert total is not None
    mean: Pixels = ((total + RUNS // 2) // RUNS).astype(plane.dtype)
    return mean
