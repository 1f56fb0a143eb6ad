"""Contact sheets: a picture and its results side by side, with labels."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Callable, Mapping
from typing import Any, TypeVar

import numpy as np
import numpy.typing as npt
from PIL import Image, ImageDraw, ImageFont

from img2img.runtime.image.depth import over_white
from img2img.runtime.image.pictures import Picture
from img2img.runtime.network.tiling import Progress, rescaled

Pixels = npt.NDArray[Any]
Wanted = TypeVar("Wanted")

_GAP = 8  # pixels between cells
_TEXT_SHARE = 12  # height of a cell / height of its label
_SMALLEST_TEXT, _LARGEST_TEXT = 12, 48  # pixels


def of_results(
    picture: Picture, wanted: Mapping[str, Wanted], run: Callable[[Wanted, Progress], Picture], progress: Progress
) -> Picture:
    """Combine the picture and its results into one opaque RGB picture of the same bit depth, on white.

    Args:
        wanted: maps the name of each result to what `run` needs to compute it.
        run: computes one result. Its progress adds up to the number of pixels in the picture.
    """
    area = picture.size[0] * picture.size[1]
    report = rescaled(progress, area * len(wanted), area)
    notes = list(picture.notes)
    cells = [("input", _opaque(picture))]
    for name, one in wanted.items():
        result = run(one, report)
        notes += [note for note in result.notes if note not in notes]
        cells.append((name, _opaque(result)))
    icc = picture.icc if picture.colour.shape[2] == 3 else None
    return dataclasses.replace(picture, colour=laid_out(cells), alpha=None, icc=icc, notes=tuple(notes))


def laid_out(cells: list[tuple[str, Pixels]]) -> Pixels:
    """Arrange pictures of one size, uint8 or uint16 [H, W, 3], in rows on a roughly square white sheet."""
    height, width = cells[0][1].shape[:2]
    kind = cells[0][1].dtype
    text = min(max(height // _TEXT_SHARE, _SMALLEST_TEXT), _LARGEST_TEXT)
    columns = max(1, min(len(cells), round(math.sqrt(len(cells) * (height + text) / width))))
    rows = math.ceil(len(cells) / columns)
    down, over = height + text + _GAP, width + _GAP
    sheet = np.full((rows * down + _GAP, columns * over + _GAP, 3), np.iinfo(kind).max, kind)
    for place, (name, pixels) in enumerate(cells):
        top, left = _GAP + place // columns * down, _GAP + place % columns * over
        sheet[top : top + text, left : left + width] = _label(name, width, text, kind)
        sheet[top + text : top + text + height, left : left + width] = pixels
    return sheet


def _label(name: str, width: int, height: int, kind: npt.DTypeLike) -> Pixels:
    image = Image.new("L", (width, height), 255)
    font = ImageFont.load_default(height * 0.75)
    ImageDraw.Draw(image).text((2, height // 2), name, fill=0, font=font, anchor="lm")
    return np.asarray(image)[..., None].astype(kind) * (np.iinfo(kind).max // 255)


def _opaque(picture: Picture) -> Pixels:
    colour = picture.colour if picture.colour.shape[2] == 3 else picture.colour.repeat(3, axis=2)
    return colour if picture.alpha is None else over_white(colour, picture.alpha)
