"""The Lanczos resize with 8 and 16 bits."""

from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from img2img.runtime.image.resize import lanczos

SHAPES: list[tuple[int, ...]] = [(), (1,), (2,), (3,), (4,)]


@settings(max_examples=80, deadline=None)
@given(
    height=st.integers(1, 40),
    width=st.integers(1, 40),
    size=st.tuples(st.integers(1, 60), st.integers(1, 60)),
    rest=st.sampled_from(SHAPES),
    deep=st.booleans(),
    seed=st.integers(0, 2**32 - 1),
)
def test_shape_and_type_are_kept_and_flat_stays_flat(
    height: int, width: int, size: tuple[int, int], rest: tuple[int, ...], deep: bool, seed: int
) -> None:
    dtype = np.uint16 if deep else np.uint8
    values = np.random.default_rng(seed).integers(0, np.iinfo(dtype).max, rest, endpoint=True)
    plane = np.broadcast_to(values.astype(dtype), (height, width, *rest))
    result = lanczos(plane, size)
    assert result.dtype == dtype and result.shape == (size[1], size[0], *rest)
    assert np.abs(result.astype(int) - values).max() <= 1


@pytest.mark.parametrize("dtype", [np.uint8, np.uint16])
@pytest.mark.parametrize("rest", SHAPES)
def test_unchanged_size_is_the_very_picture(dtype: Any, rest: tuple[int, ...]) -> None:
    plane = np.zeros((5, 7, *rest), dtype)
    assert lanczos(plane, (7, 5)) is plane


@pytest.mark.parametrize("size", [(50, 40), (9, 7), (31, 60)])
def test_16_bits_are_more_than_8_and_agree_with_them(size: tuple[int, int]) -> None:
    small = np.random.default_rng(0).integers(60, 190, (20, 30, 3)).astype(np.uint8)
    deep = lanczos(small.astype(np.uint16) * 257, size)
    # Pillow rounds 8-bit pictures after each of the two passes, and the second pass has weights beyond 1.
    assert np.abs(deep / 257 - lanczos(small, size)).max() <= 1.5
    assert (deep % 257 != 0).mean() > 0.9


def test_8_bits_equal_pillow_for_rgb_and_each_channel() -> None:
    pixels = np.random.default_rng(1).integers(0, 255, (12, 17, 3)).astype(np.uint8)
    expected = np.asarray(Image.fromarray(pixels).resize((40, 25), Image.Resampling.LANCZOS))
    np.testing.assert_array_equal(lanczos(pixels, (40, 25)), expected)
    for channel in range(3):
        np.testing.assert_array_equal(lanczos(pixels[..., channel], (40, 25)), expected[..., channel])


@pytest.mark.parametrize("dtype", [np.uint8, np.uint16])
def test_overshoot_is_clamped_not_wrapped(dtype: Any) -> None:
    largest = np.iinfo(dtype).max
    edge = np.zeros((8, 16), dtype)
    edge[:, 8:] = largest
    result = lanczos(edge, (64, 32))
    assert (result[:, :16] < largest // 2).all() and (result[:, 48:] > largest // 2).all()
    assert result.min() == 0 and result.max() == largest
