"""Writing pictures: what was read is written back, and what a format cannot hold is reported."""

import os
import signal
import stat
import struct
from collections.abc import Callable
from io import BytesIO
from pathlib import Path
from typing import Any
from unittest.mock import patch

import numpy as np
import picture_files as files
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image, PngImagePlugin

from img2img.errors import PictureError
from img2img.runtime.image import jpeg_bands, pillow, png_writing, tiff_writing
from img2img.runtime.image.pictures import Picture, read
from img2img.runtime.image.writing import SUFFIXES, format_for, write

LOSSLESS = ["PNG", "TIFF", "BMP", "WEBP"]


def needs(format: str) -> None:
    if not pillow.available(format):
        pytest.skip(f"this Pillow has no {format}")


def through(picture: Picture, format: str, quality: int | None = None) -> tuple[Picture, tuple[str, ...]]:
    stream = BytesIO()
    notes = write(picture, stream, format=format, quality=quality)
    return read(BytesIO(stream.getvalue())), notes


@st.composite
def pictures(draw: st.DrawFn, deep: bool = True) -> Picture:
    height, width = draw(st.integers(1, 40)), draw(st.integers(1, 40))
    dtype = draw(st.sampled_from([np.uint8, np.uint16] if deep else [np.uint8]))
    seed = draw(st.integers(0, 2**32 - 1))
    colour = files.noise((height, width, draw(st.sampled_from([1, 3]))), dtype, seed)
    alpha = draw(st.sampled_from([None, files.noise((height, width), dtype, seed + 1)]))
    return Picture(
        colour,
        alpha,
        exif=draw(st.sampled_from([None, files.exif("<"), files.exif(">", thumbnail=False)])),
        icc=draw(st.sampled_from([None, files.rgb_profile()])),
        dpi=draw(st.sampled_from([None, (300.0, 72.0)])),
    )


def equal_values(found: bytes | None, wanted: bytes | None) -> bool:
    """Whether two EXIF blocks notify the same of the photo."""
    if found is None or wanted is None:
        return found is wanted
    values = []
    for block in (found, wanted):
        exif = Image.Exif()
        exif.load(block)
        photo, place = exif.get_ifd(0x8769), exif.get_ifd(0x8825)
        values.append((exif[0x010F], exif.get(0x0112, 1), photo[0x927C], place[1], place[2]))
    return values[0] == values[1]


@settings(max_examples=120, deadline=None)
@given(picture=pictures(), format=st.sampled_from(["PNG", "TIFF"]))
def test_png_and_tiff_give_back_every_picture_exactly(picture: Picture, format: str) -> None:
    back, notes = through(picture, format)
    assert notes == () and back.notes == () and back.format == format
    assert back.colour.dtype == picture.colour.dtype
    np.testing.assert_array_equal(back.colour, picture.colour)
    assert (back.alpha is None) == (picture.alpha is None)
    if picture.alpha is not None:
        np.testing.assert_array_equal(back.alpha, picture.alpha)
    assert back.icc == picture.icc
    assert back.dpi == (picture.dpi and pytest.approx(picture.dpi, abs=0.02))
    assert equal_values(back.exif, picture.exif)


@settings(max_examples=60, deadline=None)
@given(picture=pictures(deep=False))
def test_lossless_webp_gives_back_8_bits_exactly_with_colour_under_transparency(picture: Picture) -> None:
    back, notes = through(picture, "WEBP", quality=100)
    assert notes == ()
    np.testing.assert_array_equal(back.colour, np.broadcast_to(picture.colour, back.colour.shape))
    if picture.alpha is not None:
        # An alpha that is opaque everywhere is not stored.
        stored = back.alpha if back.alpha is not None else np.full_like(picture.alpha, 255)
        np.testing.assert_array_equal(stored, picture.alpha)
    assert back.icc == picture.icc and equal_values(back.exif, picture.exif)


@settings(max_examples=60, deadline=None)
@given(picture=pictures())
def test_bmp_gives_back_8_bit_colours_laid_over_white(picture: Picture) -> None:
    back, notes = through(picture, "BMP")
    largest = np.iinfo(picture.colour.dtype).max
    expected = picture.colour.astype(float) / largest
    if picture.alpha is not None:
        weight = picture.alpha[..., None] / largest
        expected = expected * weight + (1 - weight)
    assert back.colour.shape == picture.colour.shape  # grey stays grey
    assert np.abs(back.colour - expected * 255).max() <= 0.51
    assert any("white" in note for note in notes) == (picture.alpha is not None and picture.alpha.min() < largest)
    assert any("16 bits" in note for note in notes) == (picture.colour.dtype == np.uint16)
    assert any("EXIF" in note for note in notes) == bool(picture.exif)
    assert any("ICC" in note or "sRGB" in note for note in notes) == bool(picture.icc)


@pytest.mark.parametrize("format", ["JPEG", "WEBP", "AVIF"])
@pytest.mark.parametrize("channels", [1, 3])
@pytest.mark.parametrize("transparent", [False, True])
def test_lossy_formats_keep_looks_and_metadata(format: str, channels: int, transparent: bool) -> None:
    needs(format)
    ramp = np.linspace(0, 65535, 64 * 48).reshape(48, 64, 1).astype(np.uint16)
    colour = np.concatenate([ramp, ramp[::-1], ramp[:, ::-1]][:channels], axis=2)
    alpha = np.full((48, 64), 65535, np.uint16) if transparent else None
    picture = Picture(colour, alpha, exif=files.exif(), icc=files.rgb_profile())
    back, notes = through(picture, format)
    assert notes == (f"16 bits per channel reduced to 8: {dict(WEBP='WebP').get(format, format)} is written with 8",)
    assert np.abs(back.colour.astype(float) - colour / 257).mean() < 2
    if format == "JPEG" or (format == "AVIF" and not transparent):
        assert back.colour.shape[2] == channels
    assert back.icc == picture.icc
    assert equal_values(back.exif, picture.exif)


@pytest.mark.parametrize("format", ["JPEG", "BMP"])
def test_transparency_is_laid_over_white_with_a_note(format: str) -> None:
    colour = np.zeros((16, 16, 3), np.uint8)
    alpha = np.full((16, 16), 128, np.uint8)
    back, notes = through(Picture(colour, alpha), format)
    assert np.abs(back.colour.astype(int) - 127).max() <= 1 and back.alpha is None
    assert "white" in notes[0]
    opaque, silent = through(Picture(colour, np.full_like(alpha, 255)), format)
    assert opaque.colour.max() == 0 and silent == ()


def test_reduction_to_8_bits_rounds_to_nearest() -> None:
    values = np.arange(65536, dtype=np.uint16).reshape(256, 256, 1)
    back, _ = through(Picture(values), "BMP")
    np.testing.assert_array_equal(back.colour, np.rint(values * (255 / 65535)).astype(np.uint8))


@pytest.mark.parametrize("order", ["<", ">"])
def test_pixel_dimensions_are_corrected_and_the_stale_thumbnail_dropped(order: str) -> None:
    picture = Picture(files.noise((50, 70, 3)), exif=files.exif(order, size=100))
    back, _ = through(picture, "JPEG")
    assert back.exif is not None and b"thumbnail" not in back.exif
    exif = Image.Exif()
    exif.load(back.exif)
    assert (exif.get_ifd(0x8769)[0xA002], exif.get_ifd(0x8769)[0xA003]) == (70, 50)
    assert exif.get_ifd(0x8825)[2] == (52.0, 31.0, 12.0)


def test_a_width_beyond_16_bits_still_fits_its_exif_tag() -> None:
    back, _ = through(Picture(np.zeros((1, 70_000, 1), np.uint8), exif=files.exif()), "PNG")
    exif = Image.Exif()
    assert back.exif is not None
    exif.load(back.exif)
    assert exif.get_ifd(0x8769)[0xA002] == 70_000


@pytest.mark.parametrize("format", ["PNG", "JPEG", "WEBP", "AVIF"])
def test_maker_note_stays_where_its_offsets_point_to(format: str) -> None:
    needs(format)
    block = files.exif(thumbnail=False, size=8)
    back, _ = through(Picture(np.zeros((8, 8, 3), np.uint8), exif=block), format)
    assert back.exif is not None
    assert back.exif.index(files.MAKER_NOTE) == block.index(files.MAKER_NOTE)
    if format != "AVIF":  # which keeps the orientation outside of the block
        assert back.exif == block


def test_too_much_exif_for_jpeg_is_left_out_with_a_note() -> None:
    block = files.exif(thumbnail=False) + bytes(70_000)
    picture = Picture(np.zeros((8, 8, 3), np.uint8), exif=block)
    back, notes = through(picture, "JPEG")
    assert back.exif is None and "EXIF" in notes[0]
    assert through(picture, "PNG")[1] == ()


def test_grey_profile_is_applied_where_the_format_has_no_grey() -> None:
    picture = Picture(np.full((8, 8, 1), 99, np.uint8), icc=files.rgb_profile(b"GRAY"))  # of no use for littlecms
    back, notes = through(picture, "WEBP", quality=100)
    assert back.icc is None and "profile" in notes[0]
    assert (back.colour == 99).all()
    kept, silent = through(picture, "PNG")
    assert kept.icc == picture.icc and silent == ()


# --- our own encoders ----------------------------------------------------------------------------------------------


@pytest.mark.parametrize("channels", [1, 2, 3, 4])
def test_16_bit_png_in_many_bands_is_sound(monkeypatch: pytest.MonkeyPatch, channels: int) -> None:
    monkeypatch.setattr(png_writing, "BAND_BYTES", 1000)
    smooth = np.add.outer(np.arange(61) * 900, np.arange(47) * 300)[..., None].astype(np.uint16)
    pixels = np.concatenate([smooth, smooth[::-1]] * 2, axis=2)[..., :channels]
    stream = BytesIO()
    png_writing.PngEncoder(stream, (np.ascontiguousarray(pixels),)).write_all()
    with PngImagePlugin.PngImageFile(BytesIO(stream.getvalue())) as image:
        image.verify()  # the checksums
    back = read(BytesIO(stream.getvalue()))
    parts = [back.colour] if back.alpha is None else [back.colour, back.alpha[..., None]]
    np.testing.assert_array_equal(np.concatenate(parts, axis=2), pixels)
    assert len(stream.getvalue()) < pixels.nbytes * 0.5  # filtered: a ramp is nothing but small differences


@pytest.mark.parametrize("channels", [1, 2, 3, 4])
@pytest.mark.parametrize("dtype", [np.uint8, np.uint16])
@pytest.mark.parametrize("order", ["<", ">"])
def test_tiff_in_many_strips_is_sound(monkeypatch: pytest.MonkeyPatch, channels: int, dtype: Any, order: str) -> None:
    monkeypatch.setattr(tiff_writing, "STRIP_BYTES", 500)
    pixels = files.noise((61, 47, channels), dtype)
    stream = BytesIO()
    tiff_writing.TiffEncoder(stream, (pixels,), exif=files.exif(order), dpi=(71.9836, 300)).write_all()
    back = read(BytesIO(stream.getvalue()))
    parts = [back.colour] if back.alpha is None else [back.colour, back.alpha[..., None]]
    np.testing.assert_array_equal(np.concatenate(parts, axis=2), pixels)
    assert equal_values(back.exif, files.exif(order)) and back.dpi == pytest.approx((71.9836, 300), abs=1e-3)
    if dtype == np.uint8:
        with Image.open(BytesIO(stream.getvalue())) as image:
            np.testing.assert_array_equal(np.asarray(image).reshape(pixels.shape), pixels)


def test_tiff_beyond_4_gib_is_refused(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(tiff_writing, "LARGEST_FILE", 10_000)
    with pytest.raises(PictureError, match="4 GiB"):
        write(Picture(files.noise((80, 80, 3))), tmp_path / "large.tif")
    assert list(tmp_path.iterdir()) == []


@settings(max_examples=60, deadline=None)
@given(
    height=st.integers(1, 150),
    width=st.integers(1, 70),
    channels=st.sampled_from([1, 3]),
    quality=st.sampled_from([80, 95]),
    units=st.integers(9, 40),
)
def test_jpeg_in_bands_has_the_same_pixels_and_metadata(
    height: int, width: int, channels: int, quality: int, units: int
) -> None:
    ramp = (
        np.add.outer(np.arange(height) * 2, np.arange(width) * 3)[..., None]
        + files.noise((height, width, channels)) // 9
    )
    picture = Picture(ramp.astype(np.uint8), exif=files.exif(), icc=files.rgb_profile(), dpi=(300, 300))
    whole, _ = through(picture, "JPEG", quality)
    with patch.object(jpeg_bands, "MOST_UNITS", units):
        banded, _ = through(picture, "JPEG", quality)
    np.testing.assert_array_equal(banded.colour, whole.colour)
    assert (banded.exif, banded.icc, banded.dpi) == (whole.exif, whole.icc, whole.dpi)
    assert banded.exif is not None and banded.icc is not None


@pytest.mark.parametrize("quality", [80, 95])
def test_jpeg_of_several_bands_is_read_by_other_decoders(quality: int) -> None:
    cv2 = pytest.importorskip("cv2")
    colour = np.kron(files.noise((80, 90, 3)), np.ones((8, 8, 1), np.uint8))
    stream = BytesIO()
    with patch.object(jpeg_bands, "MOST_UNITS", 180):
        write(Picture(colour), stream, format="JPEG", quality=quality)
    assert stream.getvalue().count(b"\xff\xd0") > 1  # the markers have begun anew
    decoded = cv2.imdecode(np.frombuffer(stream.getvalue(), np.uint8), cv2.IMREAD_COLOR)[..., ::-1]
    assert np.abs(decoded.astype(int) - read(BytesIO(stream.getvalue())).colour).max() <= 2


# --- formats and limits ----------------------------------------------------------------------------------------------


def test_format_comes_from_the_suffix_in_any_case() -> None:
    assert [format_for(Path(f"a{suffix}")) for suffix in SUFFIXES] == list(SUFFIXES.values())
    assert format_for(Path("A.B.JPG")) == "JPEG"


@pytest.mark.parametrize("name", ["a.gif", "a.xyz", "a", ".png", "a.pdf"])
def test_unknown_suffix_is_refused_with_the_known_ones(name: str) -> None:
    with pytest.raises(PictureError, match=r"\.png, \.jpg.*\.tif") as caught:
        format_for(Path(name))
    assert name in str(caught.value)


def test_a_named_format_wins_over_the_suffix_and_may_be_named_like_one(tmp_path: Path) -> None:
    picture = Picture(np.zeros((2, 2, 3), np.uint8))
    write(picture, tmp_path / "a.jpg", format="tif")
    assert read(tmp_path / "a.jpg").format == "TIFF"
    with pytest.raises(PictureError, match=r"as GIF: use one of .*png, jpg"):
        write(picture, tmp_path / "b.png", format="GIF")
    assert not (tmp_path / "b.png").exists()


@pytest.mark.parametrize(("source", "written"), [("JPEG", "JPEG"), ("GIF", "PNG"), ("TIFF", "TIFF")])
def test_a_stream_gets_the_format_of_the_source_if_that_can_be_written(source: str, written: str) -> None:
    stream = files.Pipe()
    write(Picture(np.zeros((2, 2, 3), np.uint8), format=source), stream)
    assert read(files.Pipe(stream.getvalue())).format == written


@pytest.mark.parametrize("quality", [0, -1, 101])
def test_quality_out_of_range_is_refused(tmp_path: Path, quality: int) -> None:
    with pytest.raises(PictureError, match="1 to 100"):
        write(Picture(np.zeros((2, 2, 3), np.uint8)), tmp_path / "a.jpg", quality=quality)
    assert list(tmp_path.iterdir()) == []


def test_quality_makes_a_difference_and_jpeg_keeps_full_colour_resolution_when_high() -> None:
    picture = Picture(files.noise((64, 64, 3)))
    for format in ("JPEG", "WEBP", "AVIF"):
        if pillow.available(format):
            sizes = []
            for quality in (20, 85, 99):
                stream = BytesIO()
                write(picture, stream, format=format, quality=quality)
                sizes.append(len(stream.getvalue()))
            assert sizes == sorted(set(sizes)), format
    stripes = np.zeros((16, 16, 3), np.uint8)
    stripes[:, ::2, 0] = stripes[:, 1::2, 2] = 255
    assert np.abs(through(Picture(stripes), "JPEG")[0].colour.astype(int) - stripes).max() < 20
    assert np.abs(through(Picture(stripes), "JPEG", 80)[0].colour.astype(int) - stripes).max() > 60


@pytest.mark.parametrize(("format", "side"), [("JPEG", 65500), ("WEBP", 16383)])
def test_a_side_beyond_the_format_is_refused_with_a_way_out(tmp_path: Path, format: str, side: int) -> None:
    path = tmp_path / f"long.{format.lower()}"
    write(Picture(np.zeros((1, side, 1), np.uint8)), path, format=format)
    assert read(path).size == (side, 1)
    path.unlink()
    with pytest.raises(PictureError, match=f"{side}.*PNG"):
        write(Picture(np.zeros((side + 1, 1, 1), np.uint8)), path, format=format)
    assert list(tmp_path.iterdir()) == []


# --- targets -------------------------------------------------------------------------------------------------------


def test_folders_are_made_and_nothing_but_the_picture_stays(tmp_path: Path) -> None:
    target = tmp_path / "a" / "b" / "photo.png"
    write(Picture(np.zeros((2, 2, 3), np.uint8)), target)
    assert list(tmp_path.rglob("*.*")) == [target]


class FullDisk(BytesIO):
    def write(self, data: Any) -> int:
        raise OSError(28, os.strerror(28))


def test_full_disk_is_reported_and_leaves_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(*_: Any, **__: Any) -> None:
        raise OSError(28, os.strerror(28))

    picture = Picture(np.zeros((2, 2, 3), np.uint16))
    target = tmp_path / "photo.png"
    target.write_bytes(b"what was there")
    monkeypatch.setattr(png_writing.PngEncoder, "write_band", full)
    with pytest.raises(PictureError, match=r"photo\.png: No space left"):
        write(picture, target)
    assert [path.read_bytes() for path in tmp_path.iterdir()] == [b"what was there"]
    monkeypatch.undo()
    with pytest.raises(PictureError, match="standard output: No space left"):
        write(picture, FullDisk())


def test_unwritable_target_is_reported(tmp_path: Path) -> None:
    (tmp_path / "file").write_bytes(b"")
    (tmp_path / "folder.png").mkdir()
    picture = Picture(np.zeros((2, 2, 3), np.uint8))
    for target in (tmp_path / "file" / "photo.png", tmp_path / "folder.png", tmp_path / ("n" * 300 + ".png")):
        with pytest.raises(PictureError, match="cannot write"):
            write(picture, target)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["file", "folder.png"]


def test_picture_from_disk_to_disk_keeps_what_the_contract_promises(tmp_path: Path) -> None:
    source, target = tmp_path / "in.jpg", tmp_path / "out.jpg"
    Image.fromarray(files.noise((40, 60, 3))).save(
        source, exif=files.exif(">", orientation=8), icc_profile=files.rgb_profile(), dpi=(300, 300)
    )
    picture = read(source)
    assert picture.size == (40, 60)
    assert write(picture, target) == ()
    back = read(target)
    assert back.icc == files.rgb_profile() and back.dpi == (300, 300)
    assert np.abs(back.colour.astype(int) - picture.colour).mean() < 6
    assert struct.pack(">HHIHH", 0x0112, 3, 1, 1, 0) in target.read_bytes()
    assert stat.S_IMODE(target.stat().st_mode) == stat.S_IMODE(source.stat().st_mode)


@pytest.mark.parametrize("suffix", [".png", ".jpg", ".webp", ".tif", ".bmp", ".avif"])
@pytest.mark.parametrize("how", ["small disk", "limited file size"])
def test_a_full_disk_leaves_no_file_in_any_format(
    small_disk: Callable[[str], Path], tmp_path: Path, suffix: str, how: str
) -> None:
    picture = Picture(files.noise((150, 150, 3)))
    if how == "small disk":
        folder = small_disk("12k")
        with pytest.raises(PictureError, match="No space left on device"):
            write(picture, folder / f"a{suffix}")
    else:
        resource = pytest.importorskip("resource")
        folder = tmp_path / "limited"
        folder.mkdir()
        limits = resource.getrlimit(resource.RLIMIT_FSIZE)
        before = signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
        try:
            resource.setrlimit(resource.RLIMIT_FSIZE, (4096, limits[1]))
            with pytest.raises(PictureError, match="File too large"):
                write(picture, folder / f"a{suffix}")
        finally:
            resource.setrlimit(resource.RLIMIT_FSIZE, limits)
            signal.signal(signal.SIGXFSZ, before)
    assert list(folder.iterdir()) == []
