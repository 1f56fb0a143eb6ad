"""The result check detects broken results and accepts correct ones that look similar."""

from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image, ImageFilter
from shared_data import shared

from img2img.runtime.image.resize import lanczos
from img2img.runtime.tasks.checked import find_fault

KINDS = ["photo", "dark photo", "black", "flat", "noise", "mask", "text", "checkerboard", "stars", "binary noise"]


def picture(kind: str, height: int, width: int, channels: int = 3, dtype: Any = np.uint8, seed: int = 0) -> Any:
    """uint8 or uint16 [height, width, channels] of a kind; a photo is a sum of blurred noises."""
    random = np.random.default_rng([seed, height, width])
    shape = (height, width, channels)
    if kind in ("photo", "dark photo"):
        values = np.zeros(shape)
        for cell in (4, 16, 64):
            small = random.random((height // cell + 2, width // cell + 2, channels)).astype(np.float32)
            for c in range(channels):
                layer = Image.fromarray(small[..., c]).resize((width, height), Image.Resampling.BICUBIC)
                values[..., c] += np.asarray(layer) * cell
        values = (values - values.min()) / max(float(np.ptp(values)), 1e-9)
        values *= 0.03 if kind == "dark photo" else 1
    elif kind == "black":
        values = np.zeros(shape)
    elif kind == "flat":
        values = np.broadcast_to(random.random(channels), shape)
    elif kind == "noise":
        values = random.random(shape)
    elif kind == "binary noise":
        values = random.integers(0, 2, shape).astype(float)
    elif kind == "checkerboard":
        y, x = np.mgrid[:height, :width]
        values = np.broadcast_to(((y + x) % 2)[..., None].astype(float), shape)
    elif kind == "stars":
        values = np.broadcast_to((random.random((height, width, 1)) > 0.999).astype(float), shape)
    else:
        soft = Image.fromarray((random.random((height, width)) * 255).astype(np.uint8))
        soft = soft.filter(ImageFilter.GaussianBlur(6 if kind == "mask" else 1))
        drawn = (np.asarray(soft) > (128 if kind == "mask" else 100))[..., None].astype(float)
        values = np.broadcast_to(drawn, shape)
    return np.rint(values * np.iinfo(dtype).max).astype(dtype)


pictures = st.builds(
    picture,
    st.sampled_from(KINDS),
    st.integers(1, 120),
    st.integers(1, 120),
    st.sampled_from([1, 3]),
    st.sampled_from([np.uint8, np.uint16]),
    st.integers(0, 1000),
)


@settings(max_examples=150, deadline=None)
@given(source=pictures, scale=st.sampled_from([0.1, 0.3, 0.5, 1, 1.7, 2, 4]))
def test_a_plain_resize_of_any_picture_is_fine(source, scale):
    height, width = source.shape[:2]
    size = max(1, round(width * scale)), max(1, round(height * scale))
    assert find_fault(lanczos(source, size), source) is None
    assert find_fault(lanczos(source, size), source, same=False) is None


@settings(max_examples=60, deadline=None)
@given(source=pictures, contrast=st.floats(0.5, 1.2), shift=st.floats(-25, 25), sigma=st.floats(0, 12))
def test_more_contrast_other_colours_and_noise_are_fine(source, contrast, shift, sigma):
    largest = np.iinfo(source.dtype).max
    values = source / largest * 255
    changed = (values - 128) * contrast + 128 + shift
    changed += np.random.default_rng(0).normal(0, sigma, source.shape)
    result = np.rint(changed.clip(0, 255) * largest / 255).astype(source.dtype)
    assert find_fault(result, source) is None


@pytest.mark.parametrize("dtype", [np.uint8, np.uint16])
@pytest.mark.parametrize("channels", [1, 3])
@pytest.mark.parametrize("kind", ["photo", "mask", "noise"])
@pytest.mark.parametrize("scale", [1, 4])
def test_black_white_and_one_colour_are_faults(kind, channels, scale, dtype):
    source = picture(kind, 100, 140, channels, dtype)
    shape = (100 * scale, 140 * scale, channels)
    largest = np.iinfo(dtype).max
    black = np.zeros(shape, dtype)
    black[3, 5] = largest // 255  # as good as black
    assert find_fault(black, source) == find_fault(black, source, same=False) == "all black, but the picture is not"
    assert "a single colour (255" in str(find_fault(np.full(shape, largest, dtype), source))
    assert "a single colour (127" in str(find_fault(np.full(shape, largest // 2, dtype), source, same=False))


def test_a_flat_or_tiny_picture_may_become_another_flat_one_but_not_black():
    for shape in [(1, 1, 3), (60, 40, 3), (1, 500, 1)]:
        grey = np.full(shape, 120, np.uint8)
        assert find_fault(grey + np.uint8(30), grey) is None
        assert "black" in str(find_fault(grey * np.uint8(0), grey))
        assert find_fault(grey * np.uint8(0), grey, same=False) is None


def test_one_lost_star_is_not_thought_a_black_result():
    source = np.zeros((200, 200, 3), np.uint8)
    source[77, 31] = 255
    assert find_fault(np.zeros_like(source), source) is None


def test_one_star_kept_between_the_samples_is_no_black_result():
    source = picture("photo", 500, 500)
    result = np.zeros_like(source)
    result[100:103, 77] = 200
    assert "all black" not in str(find_fault(result, source))
    assert find_fault(result, source, same=False) is None


@pytest.mark.parametrize(("value", "word"), [(0, "black"), (255, "white")])
def test_one_broken_tile_is_a_fault(value, word):
    source = picture("photo", 300, 300).clip(70, 185)
    result = lanczos(source, (1200, 1200)).copy()
    result[400:600, 100:300] = value
    assert str(find_fault(result, source)).startswith(f"{word} in ")
    result = lanczos(source, (1200, 1200)).copy()
    result[400:600, 100:300, 1] = value  # one channel
    assert str(find_fault(result, source)).startswith(f"{word} in ")


def test_overflow_to_both_ends_is_a_fault_and_a_mask_from_a_photo_is_none():
    source = picture("photo", 100, 100)
    ends = np.where(np.random.default_rng(1).random(source.shape) < 0.5, np.uint8(0), np.uint8(255))
    assert str(find_fault(ends, source)).startswith("clipped: ")
    assert find_fault(ends, source, same=False) is None


def test_a_scan_cleaned_to_black_and_white_is_fine():
    text = picture("text", 150, 150).astype(int)
    source = (text + np.random.default_rng(0).integers(-25, 25, text.shape)).clip(0, 255).astype(np.uint8)
    assert find_fault(np.where(source > 127, np.uint8(255), np.uint8(0)), source) is None


@pytest.mark.parametrize("folder", ["data/low_quality", "data/sr_benchmark/Set14/x4"])
def test_real_photos_are_fine_and_black_ones_of_them_are_not(folder):
    files = sorted(shared(folder).iterdir())[:10]
    for file in files:
        source = np.asarray(Image.open(file).convert("RGB"))
        result = lanczos(source, (source.shape[1] * 2, source.shape[0] * 2))
        assert find_fault(result, source) is None, file.name
        assert find_fault(np.zeros_like(result), source), file.name
