"""Contact sheets: rows of pictures with captions."""

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw

GAP = 6
CAPTION = 18


def contact_sheet(columns: Sequence[str], rows: Sequence[Sequence[NDArray[np.uint8]]]) -> Image.Image:
    """Draw `rows` of uint8 RGB pictures `[H, W, 3]` in one picture, under the captions `columns`.

    All pictures of a row have the same size.
    """
    widths = [max(row[i].shape[1] for row in rows) for i in range(len(columns))]
    heights = [max(picture.shape[0] for picture in row) for row in rows]
    size = (sum(widths) + GAP * (len(widths) + 1), sum(heights) + GAP * (len(heights) + 1) + CAPTION)
    sheet = Image.new("RGB", size, "white")
    draw = ImageDraw.Draw(sheet)
    top = CAPTION
    for row, height in zip(rows, heights, strict=True):
        left = GAP
        for picture, width in zip(row, widths, strict=True):
            sheet.paste(Image.fromarray(picture), (left, top))
            left += width + GAP
        top += height + GAP
    left = GAP
    for name, width in zip(columns, widths, strict=True):
        draw.text((left, 3), name, fill="black")
        left += width + GAP
    return sheet
