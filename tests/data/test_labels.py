"""Label maps: recognising them, and converting colours to classes and back."""

import numpy as np
import pytest
from PIL import Image, ImageDraw

from img2img.data import labels
from img2img.errors import DataError


def drawing(*, smooth: bool, few: int = 32) -> np.ndarray:
    """Draw an ellipse and a rectangle, antialiased if `smooth`, in at most `few` colours."""
    image = Image.new("RGB", (400, 400), "white")
    draw = ImageDraw.Draw(image)
    draw.ellipse((40, 40, 300, 300), fill="red")
    draw.rectangle((200, 200, 380, 390), fill="blue")
    small = image.resize((100, 100), Image.Resampling.LANCZOS if smooth else Image.Resampling.NEAREST)
    return np.asarray(small.quantize(few).convert("RGB"))


def test_flat_areas_are_recognised_and_antialiased_drawings_are_not() -> None:
    for smooth in (False, True):
        found = labels.Colours(labels.MAX_COLOURS)
        found.add(drawing(smooth=smooth))
        assert not found.too_many
        assert found.flat is not smooth
    assert len(found.palette) > 3


def test_counts_equal_those_of_a_plain_loop() -> None:
    picture = np.random.default_rng(0).integers(0, 2, (9, 7, 1), np.uint8).repeat(3, axis=2) * 255
    found = labels.Colours(4)
    found.add(picture)
    code = labels.colour_codes(picture)
    for colour in (0, 0xFFFFFF):
        inside = 0
        for y, x in zip(*np.nonzero(code == colour), strict=True):
            beside = [(y - 1, x), (y + 1, x), (y, x - 1), (y, x + 1)]
            inside += all(code[v, u] == colour for v, u in beside if 0 <= v < 9 and 0 <= u < 7)
        assert found.seen[colour].tolist() == [np.count_nonzero(code == colour), inside]


def test_paint_and_to_classes_are_inverse() -> None:
    palette = np.array([[0, 0, 9], [0, 7, 0], [200, 1, 1]], np.uint8)
    classes = np.random.default_rng(0).integers(0, 3, (5, 6, 1)).astype(np.uint8)
    assert np.array_equal(labels.to_classes(labels.paint(classes, palette), palette, name=""), classes)
    with pytest.raises(DataError, match=r"street\.png: the colour \(1, 2, 3\) is not one of the 3 classes"):
        labels.to_classes(np.full((2, 2, 3), (1, 2, 3), np.uint8), palette, name="street.png")


def test_counting_stops_once_there_are_too_many_colours() -> None:
    read: list[int] = []

    def noise(place: int) -> np.ndarray:
        read.append(place)
        return np.random.default_rng(place).integers(0, 256, (20, 20, 3), np.uint8)

    assert labels.count_colours(10_000, noise, most=64).too_many
    assert len(read) <= 32
