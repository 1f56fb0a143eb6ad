"""Pictures inside a page: encoded at once, kept in a temporary file until the page is written, decoded when shown."""

from __future__ import annotations

import base64
import io
import tempfile
from typing import IO, BinaryIO

import numpy as np
import numpy.typing as npt
from PIL import Image

LOSSLESS = 256 * 256
"""Pictures with at most so many pixels are PNG, larger ones JPEG."""
QUALITY, QUALITY_OF_MANY = 92, 85
"""Of JPEG, with all colours (4:4:4)."""
MANY = 400
"""A page with more pictures uses the lower quality."""
LONGEST = 2048
"""Longest side in pixels of a picture in a page. Larger ones are reduced."""
THUMBNAIL = 112
"""Longest side in pixels."""

Pixels = npt.NDArray[np.uint8]


def quality_for(count: int) -> int:
    """The quality of JPEG in a page with so many pictures."""
    return QUALITY if count <= MANY else QUALITY_OF_MANY


def encode(pixels: Pixels, icc: bytes | None = None, quality: int = QUALITY) -> str:
    """A picture, uint8 RGB [H, W, 3], as what follows `data:` in a URL."""
    image = _at_most(Image.fromarray(pixels), LONGEST)
    buffer = io.BytesIO()
    if image.width * image.height <= LOSSLESS:
        image.save(buffer, "PNG", compress_level=4, icc_profile=icc)
        kind = "png"
    else:
        image.save(buffer, "JPEG", quality=quality, subsampling=0, icc_profile=icc)
        kind = "jpeg"
    return f"image/{kind};base64,{base64.b64encode(buffer.getvalue()).decode('ascii')}"


def thumbnail(pixels: Pixels) -> str:
    """A small JPEG of a picture as a URL."""
    step = max(1, max(pixels.shape[:2]) // (4 * THUMBNAIL))  # most of the pixels are not needed
    image = _at_most(Image.fromarray(np.ascontiguousarray(pixels[::step, ::step])), THUMBNAIL)
    buffer = io.BytesIO()
    image.save(buffer, "JPEG", quality=75)
    return f"data:image/jpeg;base64,{base64.b64encode(buffer.getvalue()).decode('ascii')}"


class Store:
    """The encoded pictures of a page, in a temporary file: they take no memory, however many there are.

    `payload.js` finds them by their numbers.
    """

    def __init__(self) -> None:
        self._file: IO[bytes] = tempfile.TemporaryFile()  # noqa: SIM115  # closed by `close`
        self._count = 0

    def close(self) -> None:
        """Delete the file."""
        self._file.close()

    def add(self, encoded: str) -> int:
        """Keep a picture that `encode` has made. Returns its number."""
        number = self._count
        self._count += 1
        self._file.write(f'<script type="text/plain" id="picture-{number}">{encoded}</script>\n'.encode("ascii"))
        return number

    @property
    def size(self) -> int:
        """Bytes that the pictures take in the page."""
        return self._file.tell()

    def write(self, page: str, end: str, stream: BinaryIO) -> None:
        """Write `page`, with the pictures before its `end`."""
        stream.write(page.removesuffix(end).encode("utf-8", "replace"))
        self._file.seek(0)
        while block := self._file.read(1 << 20):
            stream.write(block)
        stream.write(b'<script type="text/plain" id="picture-end"></script>\n')
        stream.write(end.encode("ascii"))


def _at_most(image: Image.Image, side: int) -> Image.Image:
    factor = side / max(image.size)
    if factor >= 1:
        return image
    width, height = (max(1, round(length * factor)) for length in image.size)
    return image.resize((width, height), Image.Resampling.LANCZOS, reducing_gap=2.0)
