"""MATLAB's bicubic against the benchmark, and its crops."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image
from shared_data import shared

from img2img.data.bicubic import imresize, low_and_high, weights


def noise(height: int, width: int) -> np.ndarray:
    return np.random.default_rng(height * 1000 + width).integers(0, 256, (height, width, 3), dtype=np.uint8)


@pytest.mark.parametrize(("scale", "mean"), [(2, 0.16), (4, 0.13)])
def test_reproduces_the_low_resolution_pictures_of_the_benchmark(scale: int, mean: float) -> None:
    differences = []
    for path in sorted(shared(f"data/sr_benchmark/Set5/x{scale}").glob("*_HR.png")):
        high = np.asarray(Image.open(path).convert("RGB"))
        low = np.asarray(Image.open(path.with_stem(path.stem.replace("_HR", "_LR"))).convert("RGB"))
        high = high[: low.shape[0] * scale, : low.shape[1] * scale]
        differences.append(np.abs(imresize(high, 1 / scale).astype(int) - low))
    assert np.mean([d.mean() for d in differences]) < mean
    assert max(d.max() for d in differences) <= 7  # the field's standard code differs as much on these pictures


@given(st.integers(1, 40), st.sampled_from([0.25, 1 / 3, 0.5, 1.0, 2.0, 3.0, 4.0]))
def test_rows_sum_to_one_and_a_flat_picture_stays_flat(length: int, scale: float) -> None:
    matrix = weights(length, scale)
    assert matrix.shape == (int(np.ceil(length * scale)), length)
    assert np.allclose(matrix.sum(axis=1), 1, atol=1e-5)
    assert (imresize(np.full((length, 5, 3), 77, np.uint8), scale) == 77).all()


def test_scale_one_changes_nothing() -> None:
    picture = noise(7, 9)
    assert (imresize(picture, 1.0) == picture).all()


@given(st.sampled_from([1, 2, 3, 4]), st.integers(0, 100), st.integers(0, 100))
def test_a_crop_equals_the_same_crop_of_the_shrunk_photo(scale: int, row: int, column: int) -> None:
    size = 6 * scale
    photo = noise(20 * scale, 17 * scale)
    shrunk = imresize(photo, 1 / scale)
    top, left = row % 15, column % 12
    low, high = low_and_high(photo, top * scale, left * scale, size, scale)
    assert (low == shrunk[top : top + 6, left : left + 6]).all()
    assert (high == photo[top * scale :, left * scale :][:size, :size]).all()
