"""The pictures of a few cases of many, evenly spread, for a sheet."""

from collections.abc import Iterable

import numpy as np
from PIL import Image

from img2img.evaluation.cases import Case, Picture, spread
from img2img.runtime.image.resize import lanczos

MOST = 24
"""Rows."""
SIDE = 256
"""Longest side of a picture that is shown whole, in pixels."""
CROP = 384
"""Longest side of the middle of a picture that is shown in its own pixels."""


class Gallery:
    """Collects pictures while cases come by, of which nobody knows how many there will be.

    Args:
        details: show the middle of large pictures in their own pixels; otherwise they are reduced.
    """

    def __init__(self, *, details: bool) -> None:
        self.details = details
        self.columns: list[str] = []
        self._rows: list[list[Picture]] = []
        self._stride = 1
        self._seen = 0

    def watch(self, cases: Iterable[Case]) -> Iterable[Case]:
        """The cases, looked at as they pass."""
        for case in cases:
            self._add(case)
            yield case

    @property
    def rows(self) -> list[list[Picture]]:
        """At most `MOST` rows of uint8 RGB pictures, a row a case, in `columns`."""
        return spread(self._rows, MOST)

    def _add(self, case: Case) -> None:
        if self._seen % self._stride == 0:
            self.columns = list(case.pictures)
            self._rows.append([self._shown(picture) for picture in case.pictures.values()])
            if len(self._rows) == 2 * MOST:
                self._rows, self._stride = self._rows[::2], 2 * self._stride
        self._seen += 1

    def _shown(self, picture: Picture) -> Picture:
        height, width = picture.shape[:2]
        if self.details:
            top, left = (max(side - CROP, 0) // 2 for side in (height, width))
            return picture[top : top + CROP, left : left + CROP].copy()
        factor = min(SIDE / max(height, width), 1)
        size = (max(round(width * factor), 1), max(round(height * factor), 1))
        return np.asarray(lanczos(picture, size), np.uint8)


def format_of(suffix: str) -> str | None:
    """Pillow's name for the format of a sheet, of the extension of its file; None: another one is needed."""
    name = Image.registered_extensions().get(suffix.lower())
    return name if name in ("PNG", "JPEG", "WEBP") else None
