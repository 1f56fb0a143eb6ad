"""The colour fix removes casts and keeps detail and white."""

import tracemalloc
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image, ImageDraw
from shared_data import shared

from img2img.runtime.image import colour_fix
from img2img.runtime.image.colour_fix import match_colours
from img2img.runtime.image.resize import lanczos
from img2img.runtime.tasks.checked import cast_warning, colour_cast


def photo(height: int, width: int, channels: int = 3, seed: int = 0, low: float = 0.15, high: float = 0.85) -> Any:
    """float64 [H, W, C] between low and high: blurred noises of several sizes, and edges."""
    random = np.random.default_rng(seed)
    values = np.zeros((height, width, channels))
    for cell in (2, 6, 20, 60):
        small = random.random((height // cell + 2, width // cell + 2, channels)).astype(np.float32)
        for c in range(channels):
            layer = Image.fromarray(small[..., c]).resize((width, height), Image.Resampling.BICUBIC)
            values[..., c] += np.asarray(layer) * cell**0.7
    values[:, width // 2 :] += 4
    values -= values.min()
    return low + (high - low) * values / max(values.max(), 1e-9)


def pixels(values: Any, dtype: Any = np.uint8) -> Any:
    return np.rint(np.clip(values, 0, 1) * np.iinfo(dtype).max).astype(dtype)


def apart(first: Any, second: Any) -> Any:
    """Absolute differences in steps of 255."""
    return np.abs(first.astype(float) - second) / (np.iinfo(first.dtype).max / 255)


def energy(picture: Any) -> float:
    values = picture.astype(float)
    return float((np.diff(values, axis=0) ** 2).mean() + (np.diff(values, axis=1) ** 2).mean())


dtypes = st.sampled_from([np.uint8, np.uint16])
sides = st.integers(1, 90)


@settings(max_examples=60, deadline=None)
@given(height=sides, width=sides, channels=st.sampled_from([1, 3]), dtype=dtypes, seed=st.integers(0, 99))
def test_a_result_equal_to_its_source_comes_back_bit_by_bit(height, width, channels, dtype, seed):
    random = np.random.default_rng(seed)
    source = random.integers(0, np.iinfo(dtype).max, (height, width, channels), dtype, endpoint=True)
    fixed = match_colours(source, source.copy())
    assert fixed.dtype == dtype and np.array_equal(fixed, source)


@settings(max_examples=60, deadline=None)
@given(
    size=st.tuples(sides, sides),
    other=st.tuples(sides, sides),
    values=st.tuples(st.integers(0, 255), st.integers(0, 255)),
    dtype=dtypes,
)
def test_a_flat_result_becomes_its_flat_source_exactly(size, other, values, dtype):
    unit = np.iinfo(dtype).max // 255
    source = np.full((*size, 3), values[0] * unit, dtype)
    result = np.full((*other, 3), values[1] * unit, dtype)
    assert np.array_equal(match_colours(result, source), np.full_like(result, values[0] * unit))


@settings(max_examples=30, deadline=None)
@given(
    scale=st.sampled_from([1, 2, 3.3, 4, 0.5]),
    gain=st.tuples(*[st.floats(0.85, 1.1)] * 3),
    offset=st.tuples(*[st.floats(-0.05, 0.05)] * 3),
    dtype=dtypes,
    seed=st.integers(0, 99),
)
def test_a_cast_goes_and_detail_stays(scale, gain, offset, dtype, seed):
    values = photo(120, 150, seed=seed, low=0.2, high=0.8)
    source = pixels(values, dtype)
    size = round(150 * scale), round(120 * scale)
    result = lanczos(source, size).astype(float) / np.iinfo(dtype).max
    result = pixels(np.clip(result + np.random.default_rng(seed).normal(0, 0.02, result.shape), 0.1, 0.85), dtype)
    shifted = pixels(result / np.iinfo(dtype).max * gain + offset, dtype)
    fixed = match_colours(shifted, source)
    assert fixed.dtype == dtype and fixed.shape == result.shape
    assert apart(fixed, result).mean() < 1
    assert max(map(abs, colour_cast(fixed, source))) < 0.3
    assert energy(fixed) == pytest.approx(energy(result), rel=0.05)  # a gradient's square: 2.5 % of the gradient


@settings(max_examples=30, deadline=None)
@given(shift=st.integers(-20, 20), dtype=dtypes, seed=st.integers(0, 99))
def test_a_constant_added_to_the_result_makes_no_difference(shift, dtype, seed):
    result, source = pixels(photo(90, 110, seed=seed), dtype), pixels(photo(45, 55, seed=seed + 1), dtype)
    unit = np.iinfo(dtype).max // 255
    moved = (result.astype(int) + shift * unit).astype(dtype)
    assert np.abs(match_colours(moved, source).astype(int) - match_colours(result, source)).max() <= 1


def test_the_colours_of_a_neighbourhood_become_the_sources_however_they_were():
    source = pixels(photo(400, 200, seed=1))
    y = np.linspace(0, 1, 400)[:, None, None]
    result = pixels(source / 255 + 0.15 * np.sin(y * 3) * [1, -1, 0.5])  # another cast at the top than at the bottom
    assert apart(result, source).mean() > 15
    assert apart(match_colours(result, source), source).mean() < 0.75


@pytest.mark.parametrize("dtype", [np.uint8, np.uint16])
@pytest.mark.parametrize("scale", [1, 4])
@pytest.mark.parametrize("end", [0, 255])
def test_white_stays_white_and_black_black_where_the_network_was_a_step_off(end, scale, dtype):
    unit = np.iinfo(dtype).max // 255
    source = pixels(photo(120, 160), dtype)
    source[20:90, 30:100] = end * unit
    result = np.repeat(np.repeat(source, scale, axis=0), scale, axis=1)
    inner = slice(21 * scale, 89 * scale), slice(31 * scale, 99 * scale)
    noise = np.random.default_rng(0).integers(0, 3, result[inner].shape) * unit
    result[inner] = np.abs(result[inner].astype(int) - noise if end else noise)
    fixed = match_colours(result, source)
    assert (fixed[inner] == end * unit).all()
    outside = np.ones(result.shape, bool)
    outside[20 * scale : 90 * scale, 30 * scale : 100 * scale] = False
    assert apart(fixed, result)[outside].max() <= 1.5


def test_what_a_network_drew_into_white_stays():
    source = np.full((60, 60, 3), 255, np.uint8)
    source[:, :30] = 60
    result = source.copy()
    result[20:40, 44:50] = 200
    assert (match_colours(result, source)[22:38, 45:49] < 225).all()


def test_edges_get_no_ringing_and_no_halo():
    """Two discs on a light wall, one of which the network made lighter."""
    drawn = []
    for grey in (100, 130):
        image = Image.new("L", (512, 512), 245)
        draw = ImageDraw.Draw(image)
        draw.ellipse((120, 120, 280, 280), fill=grey)
        draw.ellipse((220, 250, 400, 420), fill=60)
        drawn.append(np.asarray(image)[..., None])
    source, result = drawn
    fixed = match_colours(result, source)
    wall = source == 245
    assert apart(fixed, source)[wall].mean() < 0.05
    assert (apart(fixed, source)[wall] > 2).mean() < 0.002
    assert apart(fixed, source).mean() < 0.1
    # A cast over a hard edge: no overshoot on either side.
    source = np.full((64, 64, 3), 30, np.uint8)
    source[:, 32:] = 220
    fixed = match_colours(pixels(source / 255 * 0.9 + 0.02), source)
    assert apart(fixed, source).max() <= 1


def test_a_grey_source_counts_as_all_three_channels_of_a_colour_result():
    grey = pixels(photo(80, 70, 1))
    result = pixels(np.repeat(grey / 255, 3, axis=2) * np.array([1.0, 0.9, 0.8]))
    assert np.array_equal(match_colours(result, grey), match_colours(result, np.repeat(grey, 3, axis=2)))


def test_grey_in_three_equal_channels_stays_grey():
    grey = np.repeat(pixels(photo(80, 70, 1)), 3, axis=2)
    fixed = match_colours(pixels(grey / 255 * 0.9 + 0.05), grey)
    assert (fixed == fixed[..., :1]).all()
    assert np.array_equal(match_colours(grey[..., :1], grey[..., :1]), grey[..., :1])


def test_sixteen_bits_are_more_than_eight():
    source = pixels(photo(100, 100), np.uint16)
    fixed = match_colours(pixels(photo(100, 100) * 0.95 + 0.03, np.uint16), source)
    assert apart(fixed, source).mean() < 0.05
    assert len(np.unique(fixed)) > 5000


def test_bands_do_not_show(monkeypatch):
    source, result = pixels(photo(100, 130, seed=3)), pixels(photo(400, 520, seed=4))
    whole = match_colours(result, source)
    monkeypatch.setattr(colour_fix, "_BAND", 3000)
    assert np.abs(match_colours(result, source).astype(int) - whole).max() <= 1
    assert (match_colours(result, source) != whole).mean() < 1e-3


def test_a_large_picture_takes_little_more_memory_than_its_result():
    source = np.full((1000, 800, 3), 200, np.uint8)
    result = np.full((4000, 3200, 3), 190, np.uint8)
    tracemalloc.start()
    fixed = match_colours(result, source)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak - fixed.nbytes < result.nbytes  # floats of all of it would be four times as much


@pytest.mark.parametrize("dtype", [np.uint8, np.uint16])
def test_the_shift_is_told_in_steps_of_255(dtype):
    unit = np.iinfo(dtype).max // 255
    source = np.full((30, 40, 3), 100 * unit, dtype)
    result = np.full((9000, 80, 3), np.array([103, 98, 100]) * unit, dtype)
    shift = colour_cast(result, source)
    assert shift == pytest.approx((3, -2, 0))
    text = cast_warning(shift)
    assert text == "the colours shift by +3.0, -2.0, +0.0 of 255 on average; --color-fix corrects this"
    assert cast_warning((0.9, -2.3, 0.9)) is None
    assert colour_cast(result[..., :1], source[..., :1]) == pytest.approx((3, 3, 3))


def test_real_photos_enlarged_are_no_cast_and_three_steps_are_one():
    for file in sorted(shared("data/photos_food288").glob("*.jpg"))[:40:4]:
        source = np.asarray(Image.open(file).convert("RGB"))
        result = lanczos(source, (source.shape[1] * 2, source.shape[0] * 2))
        assert cast_warning(colour_cast(result, source)) is None
        shift = -3 if source.mean() > 127 else 3  # much of a dish on white cannot get lighter
        moved = (result.astype(int) + shift).clip(0, 255).astype(np.uint8)
        assert cast_warning(colour_cast(moved, source)), file.name
