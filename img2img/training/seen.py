"""Draws training pictures as the method sees them, for the report of a run and for `img2img data check --sheet`."""

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image, ImageDraw

from img2img.atomic import atomic
from img2img.data.seen import Seen
from img2img.evaluation.report.folder import SEEN, SEEN_NOTES
from img2img.runtime.image import pillow

GAP = 8
LINE = 14
"""Height of a line of text."""

WIDTH = 1200
ODD = (170, 30, 20)
PAPER = (226, 228, 230)
"""Grey, because many pictures are white at their edges."""


def draw(items: Sequence[Seen], *, side: int, width: int = WIDTH) -> Image.Image:
    """Draw a numbered cell for each item: its pictures side by side, its files, and what is odd about it.

    Args:
        side: longest side of a picture. Smaller ones are enlarged without smoothing.
        width: about the width of the sheet.
    """
    cells = [_cell(number, item, side) for number, item in enumerate(items, 1)]
    wide, high = (max((getattr(cell, axis) for cell in cells), default=1) for axis in ("width", "height"))
    columns = max((width - GAP) // (wide + GAP), 1)
    rows = -(-len(cells) // columns)
    columns = min(columns, max(len(cells), 1))
    sheet = Image.new("RGB", (columns * (wide + GAP) + GAP, rows * (high + GAP) + GAP), PAPER)
    for place, cell in enumerate(cells):
        sheet.paste(cell, (GAP + place % columns * (wide + GAP), GAP + place // columns * (high + GAP)))
    return sheet


def record(items: Sequence[Seen]) -> list[dict[str, Any]]:
    """The items as plain values, without their pictures."""
    return [{"files": [str(part.path) for part in item.parts], "odd": item.odd} for item in items]


def save(folder: Path, items: Sequence[Seen], notes: Sequence[str], *, side: int) -> None:
    """Write the sheet and what is known about it into the run folder `folder`.

    Raises:
        OSError, PictureError: a file cannot be written.
    """
    with atomic(folder / SEEN) as file:
        pillow.save(draw(items, side=side), file, "PNG")
    with atomic(folder / SEEN_NOTES) as file:
        file.write(json.dumps({"notes": list(notes), "items": record(items)}).encode())


def _cell(number: int, item: Seen, side: int) -> Image.Image:
    pictures = [_resized(picture, side) for picture in item.pictures.values()]
    height = max((one.height for one in pictures), default=0)
    width = max(sum(one.width + 2 for one in pictures) - 2, 60)
    names = dict.fromkeys(part.path.name for part in item.parts)
    lines = [(f"{number}  {', '.join(names) or ', '.join(item.pictures)}", (0, 0, 0))]
    lines += [(reason, ODD) for reason in item.odd[:2]]
    cell = Image.new("RGB", (width, height + (1 + min(len(item.odd), 2)) * LINE + 2), PAPER)
    left = 0
    for one in pictures:
        cell.paste(one, (left, 0))
        left += one.width + 2
    pen = ImageDraw.Draw(cell)
    for place, (words, colour) in enumerate(lines):
        pen.text((0, height + 1 + place * LINE), _fitting(pen, words, width), fill=colour)
    return cell


def _resized(picture: np.ndarray[Any, np.dtype[np.uint8]], side: int) -> Image.Image:
    image = Image.fromarray(picture)
    factor = side / max(image.size)
    size = max(round(image.width * factor), 1), max(round(image.height * factor), 1)
    return image.resize(size, Image.Resampling.LANCZOS if factor < 1 else Image.Resampling.NEAREST)


def _fitting(pen: ImageDraw.ImageDraw, words: str, width: int) -> str:
    """`words` in characters that Pillow's font has, cut to `width` pixels."""
    words = words.encode("latin-1", "replace").decode("latin-1")
    if pen.textlength(words) <= width:
        return words
    while words and pen.textlength(words + "...") > width:
        words = words[:-1]
    return words + "..."
