"""Pick a few evenly spread cases as the rows of a contact sheet."""

from collections.abc import Iterable
from pathlib import Path
from typing import BinaryIO

import numpy as np
from PIL import Image

from img2img.evaluation.results import Case, Picture, spread
from img2img.runtime.image import pillow
from img2img.runtime.image.resize import lanczos

MAX_ROWS = 24
MAX_SIDE = 256
"""Longest side in pixels of a picture that is reduced."""
MAX_CROP = 384
"""Longest side in pixels of a picture that is cropped to its centre."""


class SheetRows:
    """Collects the pictures of some cases while the cases pass by. Their number need not be known in advance.

    Args:
        details: crop large pictures to their centre and keep its pixels; otherwise reduce them.
    """

    def __init__(self, *, details: bool) -> None:
        self.details = details
        self.columns: list[str] = []
        self._rows: list[list[Picture]] = []
        self._stride = 1
        self._seen = 0

    def watch(self, cases: Iterable[Case]) -> Iterable[Case]:
        """Yield the cases unchanged and collect pictures from them."""
        for case in cases:
            self.add(case)
            yield case

    @property
    def rows(self) -> list[list[Picture]]:
        """At most `MAX_ROWS` rows with the pictures of one case each, uint8 RGB, in the order of `columns`."""
        return spread(self._rows, MAX_ROWS)

    def add(self, case: Case) -> None:
        """Collect the pictures of a case, unless enough are there."""
        if self._seen % self._stride == 0:
            self.columns = list(case.pictures)
            self._rows.append([self._shrink(picture) for picture in case.pictures.values()])
            if len(self._rows) == 2 * MAX_ROWS:  # too many: keep every second row, and collect half as often
                self._rows, self._stride = self._rows[::2], 2 * self._stride
        self._seen += 1

    def _shrink(self, picture: Picture) -> Picture:
        height, width = picture.shape[:2]
        if self.details:
            top, left = (max(side - MAX_CROP, 0) // 2 for side in (height, width))
            return picture[top : top + MAX_CROP, left : left + MAX_CROP].copy()
        factor = min(MAX_SIDE / max(height, width), 1)
        size = (max(round(width * factor), 1), max(round(height * factor), 1))
        return np.asarray(lanczos(picture, size), np.uint8)


def save(sheet: Image.Image, stream: BinaryIO, file: Path) -> None:
    """Write a contact sheet in the format that the name of `file` says; PNG if it says none."""
    pillow.save(sheet, stream, format_of(file.suffix) or "PNG")


def format_of(suffix: str) -> str | None:
    """Pillow's name for the format of a contact sheet with this file extension; None if it is not supported."""
    name = Image.registered_extensions().get(suffix.lower())
    return name if name in ("PNG", "JPEG", "WEBP") else None
