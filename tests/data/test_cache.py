"""The cache of decoded pictures: what it keeps, and its errors about broken pictures."""

from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from img2img.data.cache import MEGABYTE, Cache, read_all
from img2img.errors import DataError, PictureError


def test_a_cache_keeps_what_fits_and_reads_other_items_again() -> None:
    calls: list[int] = []

    def read(item: int) -> np.ndarray:
        calls.append(item)
        return np.full(MEGABYTE // 2, item, np.uint8)

    cache = Cache(range(6), read, limit_mb=2)
    assert cache.kept == 4 and cache.kept_bytes == 2 * MEGABYTE
    assert [int(cache[i][0]) for i in range(6)] == list(range(6))
    assert len(calls) == 8
    assert [int(value[0]) for value in cache[-2:]] == [4, 5]
    assert cache.note is not None and "4 of 6" in cache.note
    with pytest.raises(IndexError):
        cache[6]


def test_errors_name_a_picture_that_breaks_during_a_run(tmp_path: Path) -> None:
    path = tmp_path / "x.png"
    Image.new("RGB", (4, 4)).save(path)

    def read(item: Path) -> np.ndarray:
        from img2img.data.folders import read_rgb

        return read_rgb(item)

    cache = Cache([path], read, limit_mb=0)
    assert cache[0].shape == (4, 4, 3)
    path.write_bytes(path.read_bytes()[:40])
    with pytest.raises(DataError, match=r"x\.png.*it was readable when the run started"):
        cache[0]


def test_one_error_names_all_broken_pictures() -> None:
    def read(item: int) -> np.ndarray:
        if item % 2:
            raise PictureError(f"cannot read {item}")
        return np.zeros(1, np.uint8)

    with pytest.raises(DataError, match=r"^10 pictures cannot be used: cannot read 1; cannot read 3; and 8 more"):
        read_all(range(20), read)
