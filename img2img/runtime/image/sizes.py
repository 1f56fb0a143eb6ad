"""Reads the sizes of pictures from their headers, for estimates, without decoding."""

from __future__ import annotations

import io
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import BinaryIO


def of_files(files: Iterable[Path | bytes | BinaryIO]) -> Iterator[tuple[int, int] | None]:
    """Width and height of each picture, from its path, bytes or stream; None if unknown: decoding will say why."""
    return map(_size, files)


def _size(file: Path | bytes | BinaryIO) -> tuple[int, int] | None:
    from PIL import Image

    from img2img.runtime.image import pillow

    try:
        with pillow.quiet(), Image.open(io.BytesIO(file) if isinstance(file, bytes) else file) as image:
            return image.size
    except (*pillow.DECODER_ERRORS, Image.DecompressionBombError):
        return None
