"""The contact sheets of a run, shrunk for a page."""

import re
from pathlib import Path
from typing import NamedTuple

from PIL import Image

from img2img.pages import page
from img2img.runtime.image import pillow

MOST = 40
"""Sheets on a page at most."""

SIDE = 1200, 1600
"""Largest width and height in pixels on a page."""

QUALITY = 80

Stamp = tuple[int, int]


class Sheet(NamedTuple):
    """A contact sheet on a page. `url` is a `data:` URL."""

    step: int
    url: str
    width: int
    height: int


class Sheets:
    """The contact sheets in `folder`. Keeps what it has shrunk: a run that trains shrinks only its newest sheet."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.broken: list[str] = []
        self._known: dict[Path, tuple[Stamp, Sheet | None]] = {}

    def update(self) -> list[Sheet]:
        """Return at most about `MOST` sheets, evenly spread, among them the first and the last.

        Unreadable ones are left out; `broken` names them.
        """
        found = choose(_files(self.folder))
        self._known = {path: one for path, one in self._known.items() if path in found.values()}
        self.broken = []
        sheets = []
        for step, path in found.items():
            sheet = self._shrunk(step, path)
            if sheet is None:
                self.broken.append(path.name)
            else:
                sheets.append(sheet)
        return sheets

    def _shrunk(self, step: int, path: Path) -> Sheet | None:
        try:
            status = path.stat()
            stamp = status.st_mtime_ns, status.st_size
            if path in self._known and self._known[path][0] == stamp:
                return self._known[path][1]
            url, width, height = shrink(path)
        except (OSError, ValueError, SyntaxError, Image.DecompressionBombError):
            return None
        sheet = Sheet(step, url, width, height)
        self._known[path] = stamp, sheet
        return sheet


def shrink(path: Path) -> tuple[str, int, int]:
    """Return a picture file as a `data:` URL of a smaller WebP, and its size.

    Raises:
        OSError, ValueError, SyntaxError, Image.DecompressionBombError: it cannot be read.
    """
    with pillow.quiet(), Image.open(path) as opened:
        picture = opened.convert("RGB")
    picture.thumbnail(SIDE, Image.Resampling.LANCZOS, reducing_gap=None)
    return page.picture_url(picture, "webp", quality=QUALITY, method=2), *picture.size


def choose(files: dict[int, Path], most: int = MOST) -> dict[int, Path]:
    """Choose every 2^n-th sheet so that at most `most` are left, and the last one.

    The choice hardly changes when a sheet is added.
    """
    steps = sorted(files)
    stride = 1
    while (len(steps) - 1) // stride + 1 > most - 1 and len(steps) > most:
        stride *= 2
    return {step: files[step] for step in dict.fromkeys([*steps[::stride], *steps[-1:]])}


def _files(folder: Path) -> dict[int, Path]:
    found = {}
    for path in folder.glob("step-*.png"):
        if match := re.fullmatch(r"step-([0-9]{1,18})", path.stem):
            found[int(match[1])] = path
    return found
