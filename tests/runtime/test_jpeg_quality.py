"""The quality of a JPEG, read from its quantisation tables."""

import io
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from img2img.runtime.image import jpeg_quality, pictures

PIXELS = np.random.default_rng(0).integers(0, 256, (24, 40, 3), np.uint8)


def saved(mode: str = "RGB", format: str = "JPEG", **options: Any) -> bytes:
    stream = io.BytesIO()
    Image.fromarray(PIXELS).convert(mode).save(stream, format, **options)
    return stream.getvalue()


def estimated(data: bytes) -> int | None:
    return pictures.read(io.BytesIO(data)).jpeg_quality


@given(
    quality=st.integers(5, 95),
    mode=st.sampled_from(["RGB", "L", "CMYK"]),
    subsampling=st.sampled_from([0, 1, 2]),
    progressive=st.booleans(),
)
def test_the_quality_that_pillow_was_given_is_found(
    quality: int, mode: str, subsampling: int, progressive: bool
) -> None:
    data = saved(mode, quality=quality, subsampling=subsampling, progressive=progressive)
    assert estimated(data) == pytest.approx(quality, abs=2)


@pytest.mark.parametrize("quality", [30, 75, 92])
def test_a_picture_of_a_multi_picture_file_has_its_quality(quality: int) -> None:
    second = Image.fromarray(PIXELS[::-1].copy())
    data = saved(format="MPO", save_all=True, append_images=[second], quality=quality)
    assert b"MPF\0" in data
    assert estimated(data) == pytest.approx(quality, abs=2)


def test_tables_of_another_encoder_count_by_their_sum() -> None:
    with Image.open(io.BytesIO(saved(quality=70))) as image:
        (luminance, chrominance) = image.quantization.values()  # type: ignore[attr-defined]
    reversed_table = list(luminance)[::-1]  # no quality of libjpeg has this table, but its sum is that of 70
    assert estimated(saved(qtables=[reversed_table, list(chrominance)])) == 70
    coarser = [min(255, step * 2) for step in reversed_table]
    found = estimated(saved(qtables=[coarser, list(chrominance)]))
    assert found is not None and 35 < found < 50  # twice the steps of 70: libjpeg's scale of 120 % instead of 60 %


def test_the_table_of_the_luminance_counts_and_not_the_first_table() -> None:
    data = bytearray(saved(quality=90))
    frame = data.index(b"\xff\xc0")
    assert data[frame + 12] == 0 and data[frame + 15] == 1  # tables of Y and Cb
    data[frame + 12] = 1
    with Image.open(io.BytesIO(data)) as image:
        of_chrominance = jpeg_quality.estimate(image)
    assert of_chrominance is not None and of_chrominance < 87


@pytest.mark.parametrize("format", ["PNG", "WEBP", "TIFF", "BMP"])
def test_other_formats_have_no_jpeg_quality(format: str) -> None:
    assert estimated(saved(format=format)) is None
