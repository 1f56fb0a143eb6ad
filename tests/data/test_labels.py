from pathlib import Path

import numpy as np
import pytest
from PIL import Image, ImageDraw

from img2img.data import labels
from img2img.data.cache import MEGABYTE, Cache, read_all
from img2img.errors import DataError, PictureError


def drawing(*, smooth: bool, few: int = 32) -> np.ndarray:
    """Circles and lines, antialiased or not, in at most `few` colours."""
    image = Image.new("RGB", (400, 400), "white")
    draw = ImageDraw.Draw(image)
    draw.ellipse((40, 40, 300, 300), fill="red")
    draw.rectangle((200, 200, 380, 390), fill="blue")
    small = image.resize((100, 100), Image.Resampling.LANCZOS if smooth else Image.Resampling.NEAREST)
    return np.asarray(small.quantize(few).convert("RGB"))


def test_areas_are_flat_and_antialiased_drawings_are_not() -> None:
    for smooth in (False, True):
        found = labels.Colours(labels.USUAL)
        found.add(drawing(smooth=smooth))
        assert not found.too_many
        assert found.flat is not smooth
    assert len(found.palette) > 3


def test_counts_are_those_of_a_plain_loop() -> None:
    picture = np.random.default_rng(0).integers(0, 2, (9, 7, 1), np.uint8).repeat(3, axis=2) * 255
    found = labels.Colours(4)
    found.add(picture)
    code = labels.codes(picture)
    for colour in (0, 0xFFFFFF):
        inside = 0
        for y, x in zip(*np.nonzero(code == colour), strict=True):
            beside = [(y - 1, x), (y + 1, x), (y, x - 1), (y, x + 1)]
            inside += all(code[v, u] == colour for v, u in beside if 0 <= v < 9 and 0 <= u < 7)
        assert found.seen[colour].tolist() == [np.count_nonzero(code == colour), inside]


def test_classes_and_colours_are_inverse() -> None:
    palette = np.array([[0, 0, 9], [0, 7, 0], [200, 1, 1]], np.uint8)
    classes = np.random.default_rng(0).integers(0, 3, (5, 6, 1)).astype(np.uint8)
    assert np.array_equal(labels.index(labels.paint(classes, palette), palette, name=""), classes)
    with pytest.raises(DataError, match=r"street\.png: the colour \(1, 2, 3\) is none of the 3 classes"):
        labels.index(np.full((2, 2, 3), (1, 2, 3), np.uint8), palette, name="street.png")


def test_no_more_is_read_than_shows_that_these_are_photos() -> None:
    read: list[int] = []

    def noise(place: int) -> np.ndarray:
        read.append(place)
        return np.random.default_rng(place).integers(0, 256, (20, 20, 3), np.uint8)

    assert labels.colours(10_000, noise, most=64).too_many
    assert len(read) <= 32


def test_a_cache_keeps_what_fits_and_reads_the_rest_again() -> None:
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


def test_a_picture_that_breaks_during_a_run_is_named(tmp_path: Path) -> None:
    path = tmp_path / "x.png"
    Image.new("RGB", (4, 4)).save(path)

    def read(item: Path) -> np.ndarray:
        from img2img.data.folders import read_rgb

        return read_rgb(item)

    cache = Cache([path], read, limit_mb=0)
    assert cache[0].shape == (4, 4, 3)
    path.write_bytes(path.read_bytes()[:40])
    with pytest.raises(DataError, match=r"x\.png.*it could be read when the run started"):
        cache[0]


def test_broken_pictures_are_named_together() -> None:
    def read(item: int) -> np.ndarray:
        if item % 2:
            raise PictureError(f"cannot read {item}")
        return np.zeros(1, np.uint8)

    with pytest.raises(DataError, match=r"^10 pictures cannot be used.*cannot read 1; .*cannot read 9; \.\.\.$"):
        read_all(range(20), read)
