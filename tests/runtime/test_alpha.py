"""Colours spread into transparent pixels, and nowhere else."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from img2img.runtime.image.alpha import bleed


@settings(max_examples=100, deadline=None)
@given(
    height=st.integers(1, 70),
    width=st.integers(1, 70),
    channels=st.sampled_from([1, 3]),
    deep=st.booleans(),
    visible=st.sampled_from([0.001, 0.05, 0.5, 0.95]),
    seed=st.integers(0, 2**32 - 1),
)
def test_visible_pixels_are_untouched_and_hidden_ones_lie_between_them(
    height: int, width: int, channels: int, deep: bool, visible: float, seed: int
) -> None:
    random = np.random.default_rng(seed)
    dtype = np.uint16 if deep else np.uint8
    largest = int(np.iinfo(dtype).max)
    low, high = sorted(random.integers(0, largest, 2, endpoint=True).tolist())
    shown = random.random((height, width)) < visible
    alpha = np.where(shown, random.integers(1, largest, (height, width), endpoint=True), 0).astype(dtype)
    inside = random.integers(low, high, (height, width, channels), endpoint=True)
    outside = random.integers(0, largest, (height, width, channels), endpoint=True)
    colour = np.where(shown[..., None], inside, outside).astype(dtype)
    before = colour.copy()
    result = bleed(colour, alpha)
    np.testing.assert_array_equal(colour, before)
    assert result.dtype == dtype and result.shape == colour.shape
    np.testing.assert_array_equal(result[shown], colour[shown])
    if shown.any():
        assert result.min() >= low and result.max() <= high
    else:
        assert result is colour


def test_one_visible_pixel_colours_everything() -> None:
    colour = np.random.default_rng(0).integers(0, 255, (33, 57, 3)).astype(np.uint8)
    alpha = np.zeros((33, 57), np.uint8)
    alpha[20, 41] = 1
    result = bleed(colour, alpha)
    assert (result == colour[20, 41]).all()


def test_each_side_takes_the_colour_that_is_near() -> None:
    colour = np.zeros((40, 40, 1), np.uint8)
    colour[:, 0], colour[:, -1] = 50, 200
    alpha = np.zeros((40, 40), np.uint8)
    alpha[:, 0] = alpha[:, -1] = 255
    row = bleed(colour, alpha)[20, :, 0].astype(int)
    assert (row[:8] < 80).all() and (row[-6:] > 170).all()
    assert np.abs(np.diff(row)).max() < 40  # a slope, not a cliff


def test_an_almost_invisible_fringe_does_not_set_the_colour() -> None:
    colour = np.zeros((1, 64, 1), np.uint8)
    colour[0, :31], colour[0, 31] = 200, 0
    alpha = np.zeros((1, 64), np.uint8)
    alpha[0, :31], alpha[0, 31] = 255, 1
    assert bleed(colour, alpha)[0, 33:, 0].min() > 150


@pytest.mark.parametrize("value", [0, 255])
def test_nothing_to_do_returns_the_very_array(value: int) -> None:
    colour = np.ones((5, 5, 3), np.uint8)
    assert bleed(colour, np.full((5, 5), value, np.uint8)) is colour
