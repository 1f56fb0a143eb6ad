"""Reads the sizes of pictures from their headers, for estimates, without decoding."""

from __future__ import annotations

import io
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import BinaryIO


def of_files(files: Iterable[Path | bytes | BinaryIO]) -> Iterator[tuple[int, int] | None]:
    """Width and height of each picture, from its path, bytes or stream; None if unknown: decoding will say why."""
    from PIL import Image

    for file in files:
        try:
            with Image.open(io.BytesIO(file) if isinstance(file, bytes) else file) as image:
                yield image.size
        except (OSError, ValueError, SyntaxError, Image.DecompressionBombError):
            yield None
