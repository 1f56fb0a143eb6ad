"""Reads the sizes of pictures from their headers, for estimates, without decoding."""

from __future__ import annotations

import io
from collections.abc import Iterable, Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import BinaryIO

# The most pixels that one byte of a file can hold. A header that claims more is damaged, and no estimate may trust it.
_DENSEST = {
    "PNG": 8 * 1032,  # 1 bit per pixel; deflate shrinks to 1/1032 at best
    "JPEG": 8 * 64,  # 1 bit per block of 8x8
    "GIF": 4096,  # codes of up to 12 bits stand for at most as many pixels as there are codes
    "BMP": 128,  # runs of 255 pixels in two bytes
}


def of_files(files: Iterable[Path | bytes | BinaryIO], max_pixels: int) -> Iterator[tuple[int, int] | None]:
    """Width and height of each picture, from its path, bytes or stream.

    None: unknown, more than `max_pixels` pixels, or more than its file can hold. Decoding will say why.
    """
    return (_size(file, max_pixels) for file in files)


def _size(file: Path | bytes | BinaryIO, max_pixels: int) -> tuple[int, int] | None:
    from img2img.errors import PictureError
    from img2img.runtime.image import pillow

    try:
        with ExitStack() as stack:
            stream = io.BytesIO(file) if isinstance(file, bytes) else file
            if isinstance(stream, Path):
                if not stream.is_file():  # opening a pipe would wait or take its content
                    return None
                stream = stack.enter_context(stream.open("rb"))
            format = pillow.identify(stream.read(pillow.HEAD_BYTES))
            if format is None:
                return None
            with pillow.reading(max_pixels):
                size: tuple[int, int] = pillow.open_image(stream, format).size
            pixels = size[0] * size[1]
            if pixels > max_pixels or pixels > _DENSEST.get(format, pixels) * stream.seek(0, io.SEEK_END):
                return None
            return size
    except (PictureError, OSError):
        return None
