"""Masks as people draw them: what to fill is decided by their content."""

from typing import Any

import numpy as np
import pytest

from img2img.errors import PictureError
from img2img.runtime.image.pictures import Picture
from img2img.runtime.tasks import masks

HOLE = np.zeros((8, 12), np.bool_)
HOLE[2:5, 3:7] = True


def painted(inside: Any, outside: Any) -> np.ndarray[Any, Any]:
    return np.where(HOLE[..., None], np.array(inside), np.array(outside)).astype(np.uint8)


@pytest.mark.parametrize(
    ("colour", "alpha"),
    [
        (painted([1], [0]), None),
        (painted([128, 0, 0], [0, 0, 0]), None),  # the first class of PASCAL VOC
        (painted([255, 0, 0], [0, 0, 0]), None),
        (painted([0, 0, 0], [0, 0, 0]), painted(255, 0)[..., 0]),
        (painted([255, 255, 255], [255, 255, 255]), painted(0, 255)[..., 0]),
    ],
    ids=["zero and one", "palette", "red on black", "black on transparent", "erased hole"],
)
def test_the_drawn_region_is_filled_and_a_note_says_so(colour: Any, alpha: Any) -> None:
    notes: list[str] = []
    found = masks.of(Picture(colour, alpha), note=notes.append)
    assert np.array_equal(found, HOLE)
    assert len(notes) == 1


def test_a_mask_of_black_and_white_needs_no_note() -> None:
    notes: list[str] = []
    assert np.array_equal(masks.of(Picture(painted([255], [0])), note=notes.append), HOLE)
    assert notes == []


def test_content_that_selects_nothing_is_an_error() -> None:
    colour = painted([2], [0])
    colour[0, 0] = 1
    with pytest.raises(PictureError, match="selects nothing: its values are 0 to 2"):
        masks.of(Picture(colour))


def test_the_erased_part_of_a_photo_is_filled() -> None:
    photo = np.random.default_rng(0).integers(0, 256, (8, 12, 3), np.uint8)
    notes: list[str] = []
    found = masks.of(Picture(photo, painted(0, 255)[..., 0]), note=notes.append)
    assert np.array_equal(found, HOLE)
    assert notes == ["the mask is a picture with a hole: its transparent pixels are filled"]


def test_strokes_of_black_and_white_on_transparency_are_no_photo() -> None:
    strokes = painted([255, 255, 255], [0, 0, 0])
    alpha = np.full((8, 12), 255, np.uint8)
    alpha[6:] = 0
    notes: list[str] = []
    assert np.array_equal(masks.of(Picture(strokes, alpha), note=notes.append), HOLE) and notes == []


def test_a_mask_that_selects_most_of_the_picture_gets_a_note() -> None:
    notes: list[str] = []
    assert np.array_equal(masks.of(Picture(painted([0], [255])), note=notes.append), ~HOLE)
    assert notes == ["the mask selects 88% of the picture: white means fill"]
