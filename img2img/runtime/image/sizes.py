"""Reads the sizes of pictures from their headers, for estimates, without decoding."""

from __future__ import annotations

import io
from collections.abc import Iterable, Iterator
from pathlib import Path


def of_files(files: Iterable[Path | bytes]) -> Iterator[tuple[int, int] | None]:
    """Width and height of each picture file (or its bytes); None where it cannot be told: decoding will say why."""
    from PIL import Image

    for file in files:
        try:
            with Image.open(io.BytesIO(file) if isinstance(file, bytes) else file) as image:
                yield image.size
        except (OSError, ValueError, SyntaxError, Image.DecompressionBombError):
            yield None
