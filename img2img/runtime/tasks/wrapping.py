"""Textures that repeat: the picture continues on the other side, so that results repeat without a seam too."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import numpy.typing as npt

from img2img.errors import UsageError

Pixels = npt.NDArray[Any]

AXES = ("x", "y", "xy")
"""x: left and right edge meet. y: top and bottom."""


def check(axes: str | None) -> None:
    """Raise UsageError unless `axes` is one of `AXES` or None."""
    if axes is not None and axes not in AXES:
        raise UsageError(f"--wrap {axes}: use {', '.join(AXES)}")


def wrapped(run: Callable[[Pixels], Pixels], plane: Pixels, axes: str, context: int, factor: int) -> Pixels:
    """Return the result of `run` for `plane` `[H, W, C]` as if copies of it lay on the sides of `axes`.

    Args:
        run: enlarges by `factor`.
        context: pixels around one that its result depends on.
    """
    down, across = (context if axis in axes else 0 for axis in ("y", "x"))
    large = run(np.pad(plane, ((down, down), (across, across), (0, 0)), mode="wrap"))
    height, width = plane.shape[:2]
    inner = large[down * factor : (down + height) * factor, across * factor : (across + width) * factor]
    return np.ascontiguousarray(inner)


def resized(
    resize: Callable[[Pixels, tuple[int, int]], Pixels], plane: Pixels, size: tuple[int, int], axes: str
) -> Pixels:
    """Return `resize(plane, size)` as if copies of `plane` lay on the sides of `axes`. `size` is (width, height)."""
    copies = tuple(3 if axis in axes else 1 for axis in ("y", "x"))
    large = resize(np.tile(plane, (*copies, *(1,) * (plane.ndim - 2))), (size[0] * copies[1], size[1] * copies[0]))
    top, left = (size[1] if copies[0] > 1 else 0), (size[0] if copies[1] > 1 else 0)
    return np.ascontiguousarray(large[top : top + size[1], left : left + size[0]])
