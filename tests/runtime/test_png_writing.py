"""PNG and TIFF encoded in bands: whatever the bands and threads, the file holds the same pixels."""

import struct
import threading
import tracemalloc
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from io import BytesIO
from pathlib import Path
from typing import Any
from unittest.mock import patch

import numpy as np
import picture_files as files
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image, PngImagePlugin, features
from shared_data import shared

from img2img.errors import PictureError
from img2img.runtime.image import png_filters, png_writing, tiff_writing
from img2img.runtime.image.deflate import deflate
from img2img.runtime.image.pictures import Picture, read
from img2img.runtime.image.png_filters import filter_rows
from img2img.runtime.image.png_writing import PngEncoder, adler32_combine
from img2img.runtime.image.tiff_writing import TiffEncoder
from img2img.runtime.image.writing import write

ENCODERS: list[Any] = [PngEncoder, TiffEncoder]


@contextmanager
def bands_of(size: int) -> Iterator[None]:
    """Bands, strips and blocks of about this number of bytes."""
    with (
        patch.object(png_writing, "BAND_BYTES", size),
        patch.object(tiff_writing, "STRIP_BYTES", size),
        patch.object(png_filters, "BLOCK_BYTES", size // 3),
    ):
        yield


@st.composite
def pixels(draw: st.DrawFn) -> np.ndarray:
    """uint8 or uint16 [H, W, 1 to 4]: noise, a ramp, or nearly empty, so that every filter is used."""
    height, width = draw(st.integers(1, 40)), draw(st.integers(1, 40))
    channels, dtype = draw(st.integers(1, 4)), draw(st.sampled_from([np.uint8, np.uint16]))
    result = files.noise((height, width, channels), dtype, draw(st.integers(0, 2**32 - 1)))
    kind = draw(st.sampled_from(["noise", "ramp", "empty"]))
    if kind == "ramp":
        slopes = draw(st.tuples(*[st.integers(0, 700)] * 2))
        ramp = np.add.outer(np.arange(height) * slopes[0], np.arange(width) * slopes[1])[..., None]
        return (ramp + result % 7).astype(dtype)
    return result * (result % 11 == 0) if kind == "empty" else result


def parts_of(whole: np.ndarray) -> tuple[np.ndarray, ...]:
    """Colour, and alpha where there is one, as arrays of their own."""
    colours = whole.shape[2] - (whole.shape[2] in (2, 4))
    return tuple(part for part in (whole[..., :colours], whole[..., colours:]) if part.size)


def decoded(data: bytes) -> np.ndarray:
    """Read it back with all checks."""
    picture = read(BytesIO(data))
    parts = [picture.colour] if picture.alpha is None else [picture.colour, picture.alpha[..., None]]
    return np.concatenate(parts, axis=2)


def encoded(encoder: Any, parts: tuple[np.ndarray, ...], **options: Any) -> bytes:
    stream = BytesIO()
    encoder(stream, parts, **options).write_all()
    return stream.getvalue()


def chunks(png: bytes) -> list[tuple[bytes, bytes]]:
    found, position = [], 8
    while position < len(png):
        (length,) = struct.unpack(">I", png[position : position + 4])
        found.append((png[position + 4 : position + 8], png[position + 8 : position + 8 + length]))
        position += 12 + length
    return found


def threads_of_encoders() -> list[str]:
    return [thread.name for thread in threading.enumerate() if thread.name.startswith("encode")]


# --- pixels --------------------------------------------------------------------------------------------------------


@settings(max_examples=150, deadline=None)
@given(whole=pixels(), size=st.integers(1, 3000), threads=st.integers(1, 3), encoder=st.sampled_from(ENCODERS))
def test_pixels_come_back_exactly_whatever_the_bands(whole: np.ndarray, size: int, threads: int, encoder: Any) -> None:
    with bands_of(size):
        data = encoded(encoder, parts_of(whole), threads=threads)
    back = decoded(data)
    assert back.dtype == whole.dtype
    np.testing.assert_array_equal(back, whole)
    if encoder is PngEncoder:
        with PngImagePlugin.PngImageFile(BytesIO(data)) as image:
            image.verify()  # the checksums of all chunks
        rows = b"".join(content for kind, content in chunks(data) if kind == b"IDAT")
        assert len(zlib.decompress(rows)) == len(whole) * (1 + whole[0].nbytes)  # checks the Adler-32, too


@settings(max_examples=60, deadline=None)
@given(whole=pixels(), top=st.integers(0, 39))
def test_each_row_gets_the_filter_with_the_smallest_sum(whole: np.ndarray, top: int) -> None:
    top = min(top, len(whole) - 1)
    filtered = filter_rows(parts_of(whole), top, len(whole))
    # A second implementation of the filters, straight from the specification.
    by_kind = {
        kind: np.frombuffer(files.filtered(whole, [kind]), np.uint8).reshape(len(whole), -1)[top:]
        for kind in (0, 1, 2, 4)
    }
    sums = {kind: np.abs(rows[:, 1:].astype(np.int8).astype(int)).sum(axis=1) for kind, rows in by_kind.items()}
    for number, row in enumerate(filtered):
        np.testing.assert_array_equal(row, by_kind[row[0]][number])
        assert sums[row[0]][number] == min(total[number] for total in sums.values())


def test_wide_and_tall_pictures_are_sound() -> None:
    for shape in ((1, 70_000, 3), (3, 300_000, 4), (70_000, 1, 1), (50_000, 2, 2)):
        whole = files.noise(shape)
        np.testing.assert_array_equal(decoded(encoded(PngEncoder, (whole,))), whole)


@given(first=st.binary(max_size=9000), second=st.binary(max_size=9000))
def test_checksums_of_two_pieces_combine(first: bytes, second: bytes) -> None:
    assert adler32_combine(zlib.adler32(first), zlib.adler32(second), len(second)) == zlib.adler32(first + second)


@pytest.mark.parametrize("data", [b"", b"\xff" * 70_000, bytes(range(256)) * 999])
def test_deflate_of_open_pieces_is_one_stream(data: bytes) -> None:
    piece = np.frombuffer(data, np.uint8)
    stream = deflate(piece, wbits=-15, last=False) + deflate(piece, wbits=-15, last=True)
    assert zlib.decompress(stream, -15) == data * 2
    assert zlib.decompress(deflate(piece)) == data


@pytest.mark.parametrize("period", [1, 50, 3000, 30_000, 200_000])
def test_data_that_repeats_is_compressed_as_well_as_by_level_3(period: int) -> None:
    data = np.resize(files.noise((1, period, 1)) // 8, 400_000)
    compressor = zlib.compressobj(3, zlib.DEFLATED, 15, 9, zlib.Z_FILTERED)
    assert len(deflate(data)) <= 1.01 * len(compressor.compress(data.data) + compressor.flush())


@pytest.mark.parametrize("mode", ["L", "LA", "RGB", "RGBA"])
def test_chunks_around_the_pixels_are_those_that_pillow_writes(mode: str) -> None:
    whole = files.noise((30, 20, len(mode)))
    image = Image.fromarray(whole[..., 0] if mode == "L" else whole)
    exif, icc, dpi = files.exif(), files.rgb_profile(), (300.0, 71.9836)
    stream = BytesIO()
    image.save(stream, "PNG", exif=exif, icc_profile=icc, dpi=dpi)
    ours = encoded(PngEncoder, parts_of(whole), exif=exif.removeprefix(b"Exif\0\0"), icc=icc, dpi=dpi)
    assert [chunk for chunk in chunks(ours) if chunk[0] != b"IDAT"] == [
        chunk for chunk in chunks(stream.getvalue()) if chunk[0] != b"IDAT"
    ]
    assert [kind for kind, _ in chunks(ours)][-2:] == [b"IDAT", b"IEND"]


# --- size ----------------------------------------------------------------------------------------------------------


def largest_ratio(paths: list[Path]) -> float:
    """Size against Pillow's PNG at level 3, which this encoder replaces."""
    if features.version("zlib") != zlib.ZLIB_RUNTIME_VERSION:
        pytest.skip("this Pillow has another zlib than Python, so sizes cannot be compared")
    ratios = {}
    for path in paths:
        with Image.open(path) as image:
            whole = np.asarray(image.convert("RGBA" if image.has_transparency_data else "RGB"))
        stream = BytesIO()
        Image.fromarray(whole).save(stream, "PNG", compress_level=3)
        ratios[path.name] = len(encoded(PngEncoder, (whole,))) / len(stream.getvalue())
    return max(ratios.values())


def test_photos_take_at_most_2_percent_more_than_before() -> None:
    photos = sorted(shared("data/photos_tiles512").glob("*.jpg"))[::40] + sorted(shared("data/low_quality").glob("*"))
    assert largest_ratio(photos) < 1.02


def test_drawings_take_at_most_2_percent_more_than_before() -> None:
    drawings = sorted(shared("data/outline_to_color").glob("*.png"))[::200]
    drawings += sorted(shared("data/emoji_styles/noto").glob("*.png"))[::200]
    assert largest_ratio(drawings) < 1.02


# --- threads -------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("encoder", ENCODERS)
def test_no_thread_is_left_at_the_end(encoder: Any) -> None:
    class Seen(BytesIO):
        threads = 0

        def write(self, data: Any) -> int:
            self.threads = max(self.threads, len(threads_of_encoders()))
            return super().write(data)

    stream = Seen()
    with bands_of(3000):
        encoder(stream, (files.noise((400, 100, 3)),), threads=3).write_all()
    assert stream.threads == 3 and not threads_of_encoders()


@pytest.mark.parametrize("threads", [1, 2])
@pytest.mark.parametrize("error", [MemoryError("no room"), KeyboardInterrupt()])
def test_an_error_in_a_band_reaches_the_caller(error: BaseException, threads: int) -> None:
    encoder = PngEncoder(BytesIO(), (files.noise((100, 100, 3)),), threads=threads)
    with bands_of(3000), patch.object(png_writing, "filter_rows", side_effect=error), pytest.raises(type(error)):
        encoder.write_all()
    assert not threads_of_encoders()


def test_ctrl_c_while_writing_ends_the_threads() -> None:
    class Interrupted(BytesIO):
        def write(self, data: Any) -> int:
            if self.tell() > 3000:
                raise KeyboardInterrupt
            return super().write(data)

    with bands_of(3000), pytest.raises(KeyboardInterrupt):
        PngEncoder(Interrupted(), (files.noise((400, 100, 3)),), threads=2).write_all()
    assert not threads_of_encoders()


@pytest.mark.parametrize("encoder", ENCODERS)
def test_memory_beside_the_pixels_is_a_few_bands(encoder: Any) -> None:
    class Nowhere(BytesIO):
        def write(self, data: Any) -> int:
            return len(data)

    whole = files.noise((3000, 2000, 3))
    tracemalloc.start()
    try:
        encoder(Nowhere(), (whole,), threads=2).write_all()
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert peak < 12 << 20  # of 18 MB of pixels, which are noise and stay as large


# --- files ---------------------------------------------------------------------------------------------------------


def test_a_full_disk_is_reported_and_leaves_nothing(tmp_path: Path) -> None:
    error = OSError(28, "No space left on device")
    with (
        bands_of(3000),
        patch.object(PngEncoder, "write_band", side_effect=error),
        pytest.raises(PictureError, match=r"photo\.png: No space left"),
    ):
        write(Picture(files.noise((400, 100, 3))), tmp_path / "photo.png", threads=2)
    assert list(tmp_path.iterdir()) == [] and not threads_of_encoders()
