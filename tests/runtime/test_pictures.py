"""Reading pictures: all pixels and metadata arrive, and other files are reported."""

import struct
import threading
import warnings
import zlib
from io import BytesIO
from pathlib import Path
from typing import Any

import numpy as np
import picture_files as files
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image, ImageCms, ImageFile

from img2img.errors import PictureError
from img2img.runtime.image import pillow
from img2img.runtime.image.pictures import DEFAULT_MAX_PIXELS, Picture, read


def saved(image: Image.Image, format: str, **options: Any) -> BytesIO:
    stream = BytesIO()
    image.save(stream, format, **options)
    stream.seek(0)
    return stream


def message(source: Any, **options: Any) -> str:
    with pytest.raises(PictureError) as caught:
        read(source, **options)
    text = str(caught.value)
    assert "\n" not in text
    return text


# --- 16 bits -----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("channels", [1, 2, 3, 4])
@pytest.mark.parametrize("interlaced", [False, True])
@pytest.mark.parametrize("filters", ["0", "1", "2", "3", "4", "01234"])
def test_16_bit_png_keeps_every_bit(channels: int, interlaced: bool, filters: str) -> None:
    pixels = files.noise((13, 11, channels), np.uint16)
    picture = read(BytesIO(files.png(pixels, filters=filters, interlaced=interlaced)))
    colours = 3 if channels > 2 else 1
    assert picture.colour.dtype == np.uint16
    np.testing.assert_array_equal(picture.colour, pixels[..., :colours])
    if channels in (2, 4):
        assert picture.alpha is not None
        np.testing.assert_array_equal(picture.alpha, pixels[..., -1])
    else:
        assert picture.alpha is None
    assert picture.notes == ()


@pytest.mark.parametrize("channels", [1, 2, 3, 4])
@pytest.mark.parametrize("order", ["<", ">"])
@pytest.mark.parametrize(
    ("compression", "predictor"),
    [("raw", False), ("lzw", False), ("lzw", True), ("deflate", False), ("deflate", True)],
)
def test_16_bit_tiff_keeps_every_bit(channels: int, order: str, compression: str, predictor: bool) -> None:
    pixels = files.noise((13, 11, channels), np.uint16)
    extra = 2 if channels in (2, 4) else None
    data = files.tiff(pixels, order=order, compression=compression, predictor=predictor, extra=extra)
    picture = read(BytesIO(data))
    colours = 3 if channels > 2 else 1
    assert picture.colour.dtype == np.uint16
    np.testing.assert_array_equal(picture.colour, pixels[..., :colours])
    if extra is not None:
        assert picture.alpha is not None
        np.testing.assert_array_equal(picture.alpha, pixels[..., -1])


@pytest.mark.parametrize("orientation", range(1, 9))
@pytest.mark.parametrize("channels", [1, 2, 3, 4])
def test_16_bit_tiff_is_turned_by_its_orientation(orientation: int, channels: int) -> None:
    pixels = files.noise((5, 3, channels), np.uint16)
    extra = 2 if channels in (2, 4) else None
    picture = read(BytesIO(files.tiff(pixels, extra=extra, more={274: (orientation,)})))
    colours = 3 if channels > 2 else 1
    np.testing.assert_array_equal(picture.colour, turned(pixels[..., :colours], orientation))
    assert picture.exif is not None
    assert parsed(picture.exif)[0x0112] == 1


def test_16_bit_tiff_from_a_file_on_disk_equals_the_one_from_memory(tmp_path: Path) -> None:
    pixels = files.noise((40, 31, 3), np.uint16)
    path = tmp_path / "deep.tif"
    path.write_bytes(files.tiff(pixels, compression="deflate", predictor=True))
    np.testing.assert_array_equal(read(path).colour, pixels)


@pytest.mark.parametrize("channels", [2, 4])
def test_premultiplied_16_bit_tiff_becomes_straight(channels: int) -> None:
    alpha = np.array([[0, 1, 300, 65535, 40000]], np.uint16)
    straight = np.array([[0, 65535, 32768, 12345, 54321]], np.uint16)
    stored = np.rint(straight.astype(float) * alpha / 65535).astype(np.uint16)
    pixels = np.stack([stored] * (channels - 1) + [alpha], axis=2)
    picture = read(BytesIO(files.tiff(pixels, extra=1)))
    assert picture.alpha is not None
    np.testing.assert_array_equal(picture.alpha, alpha)
    # One step of a premultiplied sample is 65535 / alpha steps of a straight one.
    error = np.abs(picture.colour.astype(float) - straight[..., None])
    assert (error <= np.maximum(65535 / np.maximum(alpha, 1), 1)[..., None] / 2 + 1).all()
    assert picture.colour[0, 3, 0] == 12345


def test_tiff_with_an_unspecified_fourth_channel_is_not_transparent() -> None:
    pixels = files.noise((4, 4, 4), np.uint16)
    picture = read(BytesIO(files.tiff(pixels, extra=0)))
    assert picture.alpha is None
    np.testing.assert_array_equal(picture.colour, pixels[..., :3])


@pytest.mark.parametrize("channels", [1, 2])
def test_16_bit_tiff_whose_zero_is_white_is_not_read_as_a_negative(channels: int) -> None:
    pixels = files.noise((4, 5, channels), np.uint16)
    picture = read(BytesIO(files.tiff(pixels, photometric=0, extra=2 if channels == 2 else None)))
    np.testing.assert_array_equal(picture.colour[..., 0], 65535 - pixels[..., 0])


@pytest.mark.parametrize("compression", ["raw", "deflate"])
def test_16_bit_tiff_in_separate_planes_is_read_with_8_bits_and_says_so(compression: str) -> None:
    pixels = files.noise((9, 7, 3), np.uint16)
    picture = read(BytesIO(files.tiff(pixels, separate=True, compression=compression)))
    assert picture.colour.dtype == np.uint8
    np.testing.assert_array_equal(picture.colour, pixels >> 8)
    assert "reduced to 8" in picture.notes[0] and "planes" in picture.notes[0]


def test_transparent_colour_of_a_16_bit_png_matches_all_16_bits() -> None:
    pixels = np.array([[[0x1234, 5, 6], [0x1235, 5, 6], [0x34, 5, 6]]], np.uint16)
    key = files.chunk(b"tRNS", struct.pack(">HHH", 0x1234, 5, 6))
    picture = read(BytesIO(files.png(pixels, chunks=key)))
    assert picture.alpha is not None and picture.alpha.tolist() == [[0, 65535, 65535]]
    grey = read(BytesIO(files.png(pixels[..., :1], chunks=files.chunk(b"tRNS", struct.pack(">H", 0x1235)))))
    assert grey.alpha is not None and grey.alpha.tolist() == [[65535, 0, 65535]]


# --- modes -------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("format", ["PNG", "TIFF", "BMP", "GIF"])
def test_1_bit_picture_becomes_grey(format: str) -> None:
    bits = files.noise((9, 13)) > 127
    picture = read(saved(Image.fromarray(bits), format))
    grey = picture.colour[..., 0]
    np.testing.assert_array_equal(grey, bits * np.uint8(255))
    assert picture.colour.dtype == np.uint8


def test_grey_stays_grey_and_grey_with_alpha_keeps_both() -> None:
    pixels = files.noise((6, 5, 2))
    picture = read(saved(Image.fromarray(pixels, "LA"), "PNG"))
    np.testing.assert_array_equal(picture.colour, pixels[..., :1])
    assert picture.alpha is not None
    np.testing.assert_array_equal(picture.alpha, pixels[..., 1])
    assert read(saved(Image.fromarray(pixels[..., 0]), "JPEG")).colour.shape == (6, 5, 1)


@pytest.mark.parametrize(("depth", "key"), [(1, 1), (2, 2), (4, 9), (8, 200)])
def test_transparent_grey_value_works_at_every_bit_depth(depth: int, key: int) -> None:
    values = (
        np.arange(8, dtype=np.uint8)[None] % (1 << depth) if depth < 8 else np.arange(196, 204, dtype=np.uint8)[None]
    )
    if depth == 4:
        values = values + np.uint8(4)
    bits = "".join(f"{value:0{depth}b}" for value in values[0])
    row = b"\0" + int(bits, 2).to_bytes(len(bits) // 8, "big")
    data = files.png_header(8, 1, depth, 0) + files.chunk(b"tRNS", struct.pack(">H", key))
    data += files.chunk(b"IDAT", zlib.compress(row)) + files.chunk(b"IEND", b"")
    picture = read(BytesIO(data))
    assert picture.alpha is not None
    assert picture.alpha.tolist() == [[0 if value == key else 255 for value in values[0]]]
    np.testing.assert_array_equal(picture.colour[0, :, 0], values[0] * (255 // ((1 << depth) - 1)))


def test_palette_becomes_rgb_and_its_transparency_alpha() -> None:
    image = Image.fromarray(np.array([[0, 1, 2]], np.uint8), "P")
    image.putpalette([10, 20, 30, 40, 50, 60, 70, 80, 90])
    colours = [[[10, 20, 30], [40, 50, 60], [70, 80, 90]]]
    plain = read(saved(image, "PNG"))
    assert plain.colour.tolist() == colours and plain.alpha is None
    graded = read(saved(image, "PNG", transparency=bytes([0, 128, 255])))
    assert graded.alpha is not None and graded.alpha.tolist() == [[0, 128, 255]]
    assert graded.colour.tolist() == colours
    single = read(saved(image, "GIF", transparency=1))
    assert single.alpha is not None and single.alpha.tolist() == [[255, 0, 255]]


def test_transparent_rgb_colour_becomes_alpha() -> None:
    pixels = np.array([[[1, 2, 3], [1, 2, 4]]], np.uint8)
    picture = read(saved(Image.fromarray(pixels), "PNG", transparency=(1, 2, 4)))
    assert picture.alpha is not None and picture.alpha.tolist() == [[255, 0]]
    np.testing.assert_array_equal(picture.colour, pixels)


def test_cmyk_jpeg_without_a_profile_is_converted_and_says_that_colours_are_approximate() -> None:
    picture = read(saved(Image.new("CMYK", (8, 8), (0, 255, 255, 0)), "JPEG", quality=100))
    red, green, blue = picture.colour[4, 4].tolist()
    assert red > 240 and green < 15 and blue < 15
    assert "approximate" in picture.notes[0]


def test_cmyk_with_a_profile_goes_through_it_and_the_profile_is_not_attached_to_rgb(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    used: list[bytes] = []

    def converted(image: Image.Image, source: Any, target: Any, **options: Any) -> Image.Image:
        used.append(source.tobytes())
        assert image.mode == "CMYK" and options["outputMode"] == "RGB"
        return Image.new("RGB", image.size, (1, 2, 3))

    # There is no CMYK profile to be had freely; littlecms itself is not what is tested here.
    monkeypatch.setattr(ImageCms, "profileToProfile", converted)
    profile = files.rgb_profile(b"CMYK")
    picture = read(saved(Image.new("CMYK", (4, 4)), "JPEG", icc_profile=profile))
    assert len(used) == 1 and picture.colour[0, 0].tolist() == [1, 2, 3]
    assert picture.icc is None and "ICC" in picture.notes[0]


def test_cmyk_with_a_profile_that_does_not_work_is_converted_plainly() -> None:
    picture = read(saved(Image.new("CMYK", (4, 4), (0, 0, 0, 255)), "TIFF", icc_profile=files.rgb_profile(b"CMYK")))
    assert picture.colour.max() == 0 and picture.icc is None and "without" in picture.notes[0]


def test_lab_and_ycbcr_tiff_become_rgb() -> None:
    for mode, compression in (("LAB", "raw"), ("YCbCr", "jpeg")):
        picture = read(saved(Image.new(mode, (3, 3), (255, 128, 128)), "TIFF", compression=compression))
        assert picture.colour.shape == (3, 3, 3) and picture.colour.min() > 250


def test_32_bit_integers_are_taken_if_16_bits_hold_them_and_refused_otherwise() -> None:
    values = np.array([[0, 1000, 65535]], np.int32)
    picture = read(saved(Image.fromarray(values), "TIFF"))
    assert picture.colour.dtype == np.uint16 and picture.colour[0, :, 0].tolist() == [0, 1000, 65535]
    assert "32-bit" in message(saved(Image.fromarray(values + 1), "TIFF"))
    assert "32-bit pixels have negative values, down to -1" in message(saved(Image.fromarray(values - 1), "TIFF"))


def test_signed_16_bit_pixels_below_zero_are_called_negative() -> None:
    import tifffile

    stream = BytesIO()
    tifffile.imwrite(stream, np.array([[-1024, 3071]], np.int16))
    stream.seek(0)
    said = message(stream)
    assert "negative values, down to -1024" in said and "32-bit" not in said


def test_floating_point_tiff_is_refused_with_a_hint() -> None:
    assert "floating-point" in message(BytesIO(files.tiff(np.ones((2, 2, 1), np.float32))))


def test_12_bit_tiff_uses_the_full_range() -> None:
    # 0, 4095 and 2048 in 12 bits each, padded to whole bytes.
    packed = int(f"{0:012b}{4095:012b}{2048:012b}0000", 2).to_bytes(5, "big")
    data = files.tiff(np.zeros((1, 3, 1), np.uint8), more={258: (12,)})
    data = data.replace(struct.pack("<HHII", 279, 4, 1, 3), struct.pack("<HHII", 279, 4, 1, 5))
    at = len(data)
    data = data.replace(struct.pack("<HHII", 273, 4, 1, 8), struct.pack("<HHII", 273, 4, 1, at)) + packed
    assert read(BytesIO(data)).colour[0, :, 0].tolist() == [0, 65535, 32776]


def test_avif_and_webp_are_read() -> None:
    image = Image.new("RGB", (16, 16), (200, 100, 50))
    for format in ("WEBP", "AVIF"):
        if not pillow.available(format):
            pytest.skip(f"this Pillow has no {format}")
        picture = read(saved(image, format, quality=95))
        assert picture.format == format
        assert np.abs(picture.colour.astype(int) - (200, 100, 50)).max() < 8


# --- EXIF, ICC, resolution -----------------------------------------------------------------------------------------


def turned(pixels: np.ndarray, orientation: int) -> np.ndarray:
    """How a picture stored with this orientation looks, built from quarter turns."""
    stages = {1: (0, 0), 2: (0, 1), 3: (2, 0), 4: (2, 1), 5: (3, 1), 6: (3, 0), 7: (1, 1), 8: (1, 0)}
    quarter_turns, mirrored = stages[orientation]
    pixels = np.rot90(pixels, quarter_turns)
    return pixels[:, ::-1] if mirrored else pixels


def parsed(block: bytes) -> Image.Exif:
    result = Image.Exif()
    result.load(block)
    return result


@pytest.mark.parametrize("orientation", range(1, 9))
@pytest.mark.parametrize("format", ["PNG", "WEBP"])
def test_orientation_is_applied_to_pixels_and_alpha_and_the_tag_reset(orientation: int, format: str) -> None:
    pixels = files.noise((7, 4, 4)) | 1
    block = files.exif(orientation=orientation)
    options: dict[str, Any] = {"lossless": True, "exact": True} if format == "WEBP" else {}
    picture = read(saved(Image.fromarray(pixels), format, exif=block, **options))
    np.testing.assert_array_equal(picture.colour, turned(pixels[..., :3], orientation))
    assert picture.alpha is not None
    np.testing.assert_array_equal(picture.alpha, turned(pixels[..., 3], orientation))
    assert picture.exif is not None and parsed(picture.exif)[0x0112] == 1
    if orientation == 1:
        assert picture.exif == block


@pytest.mark.parametrize("orientation", range(1, 9))
def test_orientation_agrees_with_pillow(orientation: int) -> None:
    from PIL import ImageOps

    stream = saved(Image.fromarray(files.noise((16, 24, 3))), "JPEG", exif=files.exif(">", orientation=orientation))
    with Image.open(stream) as image:
        expected = np.asarray(ImageOps.exif_transpose(image))
    stream.seek(0)
    np.testing.assert_array_equal(read(stream).colour, expected)


@pytest.mark.parametrize("orientation", [0, 9, 700])
def test_an_impossible_orientation_is_ignored(orientation: int) -> None:
    pixels = files.noise((3, 4, 3))
    picture = read(saved(Image.fromarray(pixels), "PNG", exif=files.exif(orientation=orientation)))
    np.testing.assert_array_equal(picture.colour, pixels)


@pytest.mark.parametrize("order", ["<", ">"])
def test_maker_note_keeps_its_place_when_the_orientation_is_reset(order: str) -> None:
    block = files.exif(order, orientation=6)
    picture = read(saved(Image.new("RGB", (4, 4)), "JPEG", exif=block))
    assert picture.exif is not None
    assert picture.exif.index(files.MAKER_NOTE) == block.index(files.MAKER_NOTE)
    assert b"thumbnail" not in picture.exif  # it shows the picture as it was not meant to be seen


def test_exif_from_imagemagicks_text_chunk_is_found() -> None:
    block = files.exif(orientation=3)
    text = f"\nexif\n{len(block):8}\n{block.hex()}\n".encode()
    pixels = files.noise((3, 5, 3))
    picture = read(BytesIO(files.png(pixels, chunks=files.chunk(b"tEXt", b"Raw profile type exif\0" + text))))
    np.testing.assert_array_equal(picture.colour, turned(pixels, 3))


@pytest.mark.parametrize(
    "broken", [b"Exif\0\0", b"Exif\0\0not a header", files.exif()[:20], b"Exif\0\0II*\0\xff\xff\xff\x7f"]
)
@pytest.mark.parametrize("format", ["JPEG", "PNG", "WEBP"])
def test_a_broken_exif_block_costs_only_itself(broken: bytes, format: str) -> None:
    picture = read(saved(Image.new("L", (4, 3), 7), format, exif=broken))
    assert picture.size == (4, 3) and picture.exif is None


def test_tags_of_a_tiff_file_become_an_exif_block() -> None:
    picture = read(saved(Image.new("RGB", (4, 4)), "TIFF", exif=files.exif(">"), compression="raw"))
    assert picture.exif is not None
    found = parsed(picture.exif)
    assert found[0x010F] == "Canon" and found[0x0112] == 1
    assert found.get_ifd(0x8769)[0xA002] == 100
    assert found.get_ifd(0x8825)[0x0001] == "N"
    assert 0x0100 not in found and 0x0111 not in found  # the width and the strips are the old file's


@pytest.mark.parametrize("format", ["PNG", "JPEG", "WEBP", "TIFF", "AVIF"])
def test_icc_profile_is_kept(format: str) -> None:
    if not pillow.available(format):
        pytest.skip(f"this Pillow has no {format}")
    profile = files.rgb_profile()
    assert read(saved(Image.new("RGB", (8, 8)), format, icc_profile=profile)).icc == profile


def test_icc_profile_stays_with_a_palette_and_goes_where_it_does_not_fit() -> None:
    palette = Image.new("P", (3, 3))
    assert read(saved(palette, "PNG", icc_profile=files.rgb_profile())).icc == files.rgb_profile()
    wrong = read(saved(Image.new("RGB", (3, 3)), "PNG", icc_profile=files.rgb_profile(b"GRAY")))
    assert wrong.icc is None and "GRAY" in wrong.notes[0]
    broken = read(saved(Image.new("RGB", (3, 3)), "PNG", icc_profile=b"rubbish"))
    assert broken.icc is None and "damaged" in broken.notes[0]


@pytest.mark.parametrize("format", ["PNG", "JPEG", "TIFF", "BMP"])
def test_resolution_is_read(format: str) -> None:
    picture = read(saved(Image.new("RGB", (3, 3)), format, dpi=(300, 150)))
    assert picture.dpi == pytest.approx((300, 150), abs=0.02)
    if format != "BMP":
        assert read(saved(Image.new("RGB", (3, 3)), format)).dpi is None


# --- bad input -----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("content", "says"),
    [
        (b"", "0 bytes"),
        (b"Dear diary, today I took a photo.\n", "text"),
        (b"<!doctype html><p>404", "web page"),
        (b"%PDF-1.7\n%\xe2\xe3", "PDF"),
        (b"8BPS\0\1" + bytes(20), "Photoshop"),
        (b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 1 1\n", "PostScript"),
        (b"\0\0\0\x18ftypheic" + bytes(40), "HEIC"),
        (b"version https://git-lfs.github.com/spec/v1\n", "LFS"),
        (bytes(100), "not a picture"),
        (b"\xff", "not a picture"),
    ],
)
def test_what_is_no_picture_is_named_with_its_file(tmp_path: Path, content: bytes, says: str) -> None:
    path = tmp_path / "photo.png"
    path.write_bytes(content)
    text = message(path)
    assert says in text and str(path) in text
    assert "standard input" in message(files.Pipe(content))


def test_missing_file_folder_and_unreadable_name_are_reported(tmp_path: Path) -> None:
    assert "No such file" in message(tmp_path / "gone.png")
    assert "directory" in message(tmp_path)
    assert r"a\nb" in message(tmp_path / "a\nb.png")


FORMATS = ["PNG", "JPEG", "WEBP", "TIFF", "BMP", "GIF", "AVIF"]


def example(format: str) -> bytes:
    if not pillow.available(format):
        pytest.skip(f"this Pillow has no {format}")
    return saved(Image.fromarray(files.noise((24, 24, 3))), format).getvalue()


@pytest.mark.parametrize("format", FORMATS)
@pytest.mark.parametrize("part", [0.02, 0.3, 0.6, 0.9])
def test_truncated_file_is_reported(tmp_path: Path, format: str, part: float) -> None:
    data = example(format)
    path = tmp_path / "cut.jpg"
    path.write_bytes(data[: max(2, int(len(data) * part))])
    assert "cut.jpg" in message(path)


@settings(max_examples=150, deadline=None)
@given(
    format=st.sampled_from(FORMATS),
    changes=st.lists(st.tuples(st.integers(0, 2000), st.integers(0, 255)), min_size=1, max_size=6),
    cut=st.integers(0, 200),
)
def test_damaged_file_is_read_or_reported_and_nothing_else(
    format: str, changes: list[tuple[int, int]], cut: int
) -> None:
    data = bytearray(example(format))
    for at, value in changes:
        data[at % len(data)] = value
    try:
        picture = read(BytesIO(bytes(data[: len(data) - cut])), max_pixels=1_000_000)
    except PictureError as error:
        assert "\n" not in str(error)
    else:
        assert picture.colour.size


def bomb(format: str, width: int, height: int) -> bytes:
    """A small file whose header claims a large picture."""
    if format == "PNG":
        return files.png_header(width, height) + files.chunk(b"IDAT", b"x\x9c") + files.chunk(b"IEND", b"")
    if format == "TIFF":
        data = files.tiff(np.zeros((1, 1, 3), np.uint8))
        for tag, side in ((256, width), (257, height)):
            data = data.replace(struct.pack("<HHIHH", tag, 3, 1, 1, 0), struct.pack("<HHII", tag, 4, 1, side))
        return data
    data = bytearray(saved(Image.new("P" if format == "GIF" else "RGB", (1, 1)), format).getvalue())
    if format == "BMP":
        struct.pack_into("<ii", data, 18, width, -height)
    elif format == "GIF":
        at = data.index(b",", 13)  # the frame is larger than the screen that the header announces
        struct.pack_into("<HH", data, at + 5, width, height)
    elif format == "JPEG":
        struct.pack_into(">HH", data, data.index(b"\xff\xc0") + 5, height, width)
    elif format == "WEBP":
        struct.pack_into("<HH", data, 26, width, height)
    return bytes(data)


@pytest.mark.parametrize(
    ("format", "side"),
    [
        ("PNG", 2**31 - 1),
        ("PNG", 15000),
        ("TIFF", 2**31),
        ("TIFF", 15000),
        ("BMP", 2**31 - 1),
        ("GIF", 65535),
        ("JPEG", 65500),
        ("JPEG", 15000),
        ("WEBP", 16383),
    ],
)
def test_huge_size_is_refused_from_the_header_with_the_option_that_allows_it(
    monkeypatch: pytest.MonkeyPatch, format: str, side: int
) -> None:
    def allocated(image: ImageFile.ImageFile) -> None:
        pytest.fail(f"memory was taken for {image.size}")

    monkeypatch.setattr(ImageFile.ImageFile, "load_prepare", allocated)
    data = bomb(format, side, side)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        text = message(BytesIO(data))
    assert "--max-pixels" in text and "200,000,000" in text
    assert format == "GIF" or f"{side} x {side}" in text
    assert DEFAULT_MAX_PIXELS == 200_000_000


def test_the_limit_is_exact_and_ours_not_pillows(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", 10)  # Pillow alone would refuse 24 pixels
    for format in ("PNG", "TIFF", "WEBP", "GIF"):
        stream = saved(Image.new("L", (6, 4)), format)
        with warnings.catch_warnings():
            warnings.simplefilter("error")
            assert read(stream, max_pixels=24).size == (6, 4)
        stream.seek(0)
        assert "6 x 4 pixels" in message(stream, max_pixels=23)
        assert Image.MAX_IMAGE_PIXELS == 10


def test_many_threads_leave_pillows_limit_and_the_warning_filters_as_they_were() -> None:
    before, filters = Image.MAX_IMAGE_PIXELS, list(warnings.filters)
    data = saved(Image.fromarray(files.noise((64, 64, 3))), "PNG").getvalue()
    threads = [threading.Thread(target=lambda: [read(BytesIO(data)) for _ in range(20)]) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert before == Image.MAX_IMAGE_PIXELS
    assert list(warnings.filters) == filters


# --- frames ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("format", ["GIF", "WEBP", "PNG", "TIFF"])
def test_animated_picture_is_refused_and_its_first_frame_taken_on_demand(format: str) -> None:
    frames = [Image.new("RGB", (8, 6), colour) for colour in ((255, 0, 0), (0, 255, 0), (0, 0, 255))]
    options: dict[str, Any] = {"lossless": True} if format == "WEBP" else {}
    stream = saved(frames[0], format, save_all=True, append_images=frames[1:], **options)
    text = message(stream)
    assert "3 frames" in text and "--first-frame" in text
    stream.seek(0)
    picture = read(stream, first_frame=True)
    assert picture.colour.reshape(-1, 3).tolist() == [[255, 0, 0]] * 48
    assert picture.notes == ("only the first of 3 frames was read",)


def test_a_still_gif_is_no_animation() -> None:
    assert read(saved(Image.new("P", (5, 4)), "GIF")).format == "GIF"


def test_phone_jpeg_with_several_pictures_counts_as_its_first() -> None:
    first, second = Image.new("RGB", (16, 8), (250, 0, 0)), Image.new("RGB", (8, 4), (0, 0, 250))
    picture = read(saved(first, "MPO", save_all=True, append_images=[second]))
    assert picture.format == "JPEG" and picture.size == (16, 8) and picture.colour[0, 0, 0] > 240
    assert picture.notes == ()


def test_thumbnail_page_of_a_tiff_is_no_second_frame() -> None:
    pixels = files.noise((4, 4, 3))
    assert "2 frames" in message(BytesIO(files.tiff(pixels, following=1)))
    data = files.tiff(pixels, following=1, more={254: (1,)})
    np.testing.assert_array_equal(read(BytesIO(data)).colour, pixels)


def test_camera_raw_is_refused_instead_of_enlarging_its_thumbnail() -> None:
    assert "camera raw" in message(BytesIO(files.tiff(files.noise((4, 4, 3)), more={254: (1,), 330: (8,)})))
    assert "camera raw" in message(BytesIO(files.tiff(files.noise((4, 4, 3)), more={50706: (1,)})))


# --- streams and the class -------------------------------------------------------------------------------------------


def test_pipe_is_read_like_a_file() -> None:
    pixels = files.noise((5, 6, 3), np.uint16)
    np.testing.assert_array_equal(read(files.Pipe(files.png(pixels))).colour, pixels)
    np.testing.assert_array_equal(read(files.Pipe(files.tiff(pixels))).colour, pixels)


@pytest.mark.parametrize("format", FORMATS)
def test_a_wrong_suffix_does_not_matter(tmp_path: Path, format: str) -> None:
    path = tmp_path / "photo.xyz"
    path.write_bytes(example(format))
    assert read(path).size == (24, 24)


def test_picture_refuses_arrays_that_do_not_belong_together() -> None:
    colour = np.zeros((2, 3, 3), np.uint8)
    assert Picture(colour).size == (3, 2)
    for wrong in (colour[..., 0], colour[..., :2], colour.astype(np.float32), colour[:0]):
        with pytest.raises(ValueError, match=r"pixels|uint16"):
            Picture(wrong)
    with pytest.raises(ValueError, match="alpha"):
        Picture(colour, np.zeros((3, 2), np.uint8))
    with pytest.raises(ValueError, match="alpha"):
        Picture(colour, np.zeros((2, 3), np.uint16))
