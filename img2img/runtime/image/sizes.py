"""Reads the sizes of pictures from their headers, for estimates, without decoding."""

from __future__ import annotations

import io
from collections.abc import Iterable, Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import BinaryIO


def of_files(files: Iterable[Path | bytes | BinaryIO]) -> Iterator[tuple[int, int] | None]:
    """Width and height of each picture, from its path, bytes or stream; None if unknown: decoding will say why."""
    return map(_size, files)


def _size(file: Path | bytes | BinaryIO) -> tuple[int, int] | None:
    from img2img.errors import PictureError
    from img2img.runtime.image import pillow
    from img2img.runtime.image.pictures import DEFAULT_MAX_PIXELS

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
            with pillow.reading(DEFAULT_MAX_PIXELS):
                size: tuple[int, int] = pillow.open_image(stream, format).size
                return size
    except (PictureError, OSError):
        return None
