"""Colour spaces that a file names without an ICC profile are kept or converted, and never silently lost."""

import dataclasses
import importlib
import io
import struct
from io import BytesIO
from typing import Any

import numpy as np
import picture_files
import pytest
import stub_network
from PIL import Image, ImageCms, features
from test_metadata import chunks

from img2img.errors import PictureError
from img2img.runtime.image import avif_boxes, colour_tags, hdr, pictures, writing
from img2img.runtime.image.colour_tags import ColourTags
from img2img.runtime.image.pictures import Picture
from img2img.runtime.network.card import Card

avif = pytest.mark.skipif(not features.check("avif"), reason="this Pillow has no AVIF")

RAMP = np.stack(np.meshgrid(np.arange(0, 256, 5), np.arange(0, 256, 8), indexing="ij"), axis=-1)
RAMP = np.concatenate((RAMP, 255 - RAMP[..., :1]), axis=2).astype(np.uint8)
P3_TO_SRGB = np.array(
    ((1.2249401763, -0.2249401763, 0), (-0.0420569547, 1.0420569547, 0), (-0.0196375546, -0.0786360456, 1.0982736002))
)
CHRM_P3 = struct.pack(">8I", 31270, 32900, 68000, 32000, 26500, 69000, 15000, 6000)


def png(*tags: tuple[bytes, bytes], pixels: Any = RAMP) -> bytes:
    return picture_files.png(pixels, chunks=b"".join(picture_files.chunk(*tag) for tag in tags))


def nclx(data: bytes, primaries: int, transfer: int) -> bytes:
    """An AVIF whose colr box says something else."""
    place = data.index(b"nclx") + 4
    return data[:place] + struct.pack(">HH", primaries, transfer) + data[place + 4 :]


def avif_file(primaries: int, transfer: int, pixels: Any = RAMP, **options: Any) -> bytes:
    stream = BytesIO()
    Image.fromarray(pixels).save(stream, "AVIF", quality=100, subsampling="4:4:4", **options)
    return nclx(stream.getvalue(), primaries, transfer)


def written(picture: Picture, format: str) -> tuple[bytes, str]:
    stream = BytesIO()
    notes = writing.write(picture, stream, format=format, quality=None if format == "PNG" else 100)
    return stream.getvalue(), "; ".join((*picture.notes, *notes))


def read(data: bytes) -> Picture:
    return pictures.read(BytesIO(data))


def seen(data: bytes) -> Any:
    """The picture as a viewer shows it that knows ICC profiles but no other tags."""
    image = Image.open(BytesIO(data))
    icc = image.info.get("icc_profile")
    if icc is None:
        return np.asarray(image.convert("RGB")).astype(int)
    profile, target = ImageCms.ImageCmsProfile(io.BytesIO(icc)), ImageCms.createProfile("sRGB")
    relative = ImageCms.Intent.RELATIVE_COLORIMETRIC
    return np.asarray(ImageCms.profileToProfile(image, profile, target, relative, outputMode="RGB")).astype(int)


def light(encoded: Any) -> Any:
    return np.where(encoded <= 0.04045, encoded / 12.92, ((encoded + 0.055) / 1.055) ** 2.4)


def srgb(linear: Any) -> Any:
    linear = np.clip(linear, 0, 1)
    return 255 * np.where(linear <= 0.0031308, linear * 12.92, 1.055 * linear ** (1 / 2.4) - 0.055)


ALL_TAGS = (
    (b"cICP", bytes((12, 13, 0, 1))),
    (b"cHRM", CHRM_P3),
    (b"gAMA", (45455).to_bytes(4, "big")),
    (b"sBIT", bytes((5, 6, 5))),
)


def test_every_tag_of_a_png_stays_in_a_png() -> None:
    result, notes = written(read(png(*ALL_TAGS)), "PNG")
    names = [name for name, _ in chunks(result)]
    assert set(ALL_TAGS) <= set(chunks(result)) and notes == ""
    assert names.index(b"cICP") < names.index(b"IDAT") and b"iCCP" not in names


@pytest.mark.parametrize(
    ("given", "channels", "deep", "expected"),
    [
        (b"\5\6\5", 3, False, b"\5\6\5"),
        (b"\5", 3, False, b"\5\5\5"),
        (b"\5\6\5", 4, False, b"\5\6\5\x08"),
        (b"\5\6\5\7", 3, False, b"\5\6\5"),
        (b"\x0c\x0c\x0c", 3, False, b"\x08\x08\x08"),
        (b"\x0c\x0c\x0c", 4, True, b"\x0c\x0c\x0c\x10"),
        (b"\5\6\5", 1, False, b"\6"),
    ],
)
def test_significant_bits_follow_the_channels(given: bytes, channels: int, deep: bool, expected: bytes) -> None:
    bits = 16 if deep else 8
    assert ColourTags(chunks=((b"sBIT", given),)).for_png(channels, bits, with_icc=False) == [(b"sBIT", expected)]


@pytest.mark.parametrize("format", ["JPEG", "WEBP", "TIFF", "BMP"])
@pytest.mark.parametrize("tags", [ALL_TAGS[:1], ALL_TAGS[1:3]])
def test_a_wide_colour_space_becomes_a_profile_in_formats_without_tags(format: str, tags: Any) -> None:
    result, notes = written(read(png(*tags)), format)
    expected = srgb(light(RAMP / 255) @ P3_TO_SRGB.T)
    far = np.abs(seen(result) - expected)
    assert far.mean() < 2.5 and (format not in ("TIFF", "BMP") or far.max() < 2)
    assert "cICP" in notes or ("gAMA" in notes and "cHRM" in notes)


@pytest.mark.parametrize("format", ["JPEG", "WEBP", "TIFF", "BMP"])
@pytest.mark.parametrize("channels", [1, 3])
def test_gamma_becomes_a_profile(format: str, channels: int) -> None:
    pixels = RAMP[..., :channels]
    result, notes = written(read(png((b"gAMA", (100_000).to_bytes(4, "big")), pixels=pixels)), format)
    expected = np.broadcast_to(srgb(pixels / 255), RAMP.shape)
    assert np.abs(seen(result) - expected).mean() < 2.5 and "gAMA" in notes


@pytest.mark.parametrize("tags", [[(b"gAMA", (45455).to_bytes(4, "big"))], [(b"sRGB", b"\0"), ALL_TAGS[2]], []])
def test_srgb_needs_no_profile_and_no_note(tags: Any) -> None:
    result, notes = written(read(png(*tags)), "JPEG")
    assert Image.open(BytesIO(result)).info.get("icc_profile") is None and notes == ""


@pytest.mark.parametrize(
    "tag",
    [
        (b"cICP", bytes((12, 13, 1, 1))),
        (b"cICP", bytes((12, 13, 0, 2))),
        (b"cICP", bytes((12, 13))),
        (b"cHRM", bytes(32)),
        (b"gAMA", bytes(4)),
        (b"sBIT", bytes(3)),
    ],
)
def test_an_invalid_tag_is_named(tag: tuple[bytes, bytes]) -> None:
    result, notes = written(read(png(tag)), "PNG")
    assert f"{tag[0].decode()} is invalid" in notes and tag[0] not in dict(chunks(result))


def test_an_unknown_colour_space_is_named_where_it_cannot_be_kept() -> None:
    picture = read(png((b"cICP", bytes((200, 13, 0, 1)))))
    assert (b"cICP", bytes((200, 13, 0, 1))) in chunks(written(picture, "PNG")[0])
    assert "colour space (cICP 200, 13) left out" in written(picture, "JPEG")[1]


@pytest.mark.parametrize("dtype", [np.uint8, np.uint16])
def test_narrow_range_is_expanded(dtype: Any) -> None:
    unit = 256 if dtype == np.uint16 else 1
    pixels = (np.array([[[16], [126], [235], [0], [255]]]) * unit).astype(dtype)
    picture = read(png((b"cICP", bytes((1, 13, 0, 0))), pixels=pixels))
    largest = np.iinfo(dtype).max
    assert picture.colour.ravel().tolist() == [0, round(110 / 219 * largest), largest, 0, largest]
    assert dict(chunks(written(picture, "PNG")[0]))[b"cICP"] == bytes((1, 13, 0, 1))


# --- AVIF


@avif
@pytest.mark.parametrize(("primaries", "transfer"), [(12, 13), (9, 16), (9, 18), (9, 1), (1, 8)])
def test_colours_of_an_avif_stay_in_avif_and_png(primaries: int, transfer: int) -> None:
    picture = read(avif_file(primaries, transfer))
    result, notes = written(picture, "AVIF")
    found = avif_boxes.read(BytesIO(result))
    assert (found.primaries, found.transfer) == (primaries, transfer) and notes == ""
    assert np.abs(np.asarray(Image.open(BytesIO(result))).astype(int) - RAMP).mean() < 4, "it can still be decoded"
    result, notes = written(picture, "PNG")
    assert dict(chunks(result))[b"cICP"] == bytes((primaries, transfer, 0, 1)) and notes == ""


@avif
def test_a_p3_avif_looks_the_same_as_jpeg_and_in_viewers_without_cicp() -> None:
    picture = read(avif_file(12, 13))
    expected = srgb(light(picture.colour / 255) @ P3_TO_SRGB.T)
    assert np.abs(seen(written(picture, "PNG")[0]) - expected).max() < 2
    result, notes = written(picture, "JPEG")
    assert np.abs(seen(result) - expected).mean() < 2.5 and "Display P3" in notes


@avif
@pytest.mark.parametrize(("transfer", "name"), [(16, "PQ"), (18, "HLG")])
@pytest.mark.parametrize("format", ["JPEG", "WEBP", "TIFF", "BMP"])
def test_hdr_is_refused_where_it_cannot_be_said(transfer: int, name: str, format: str) -> None:
    for data in (avif_file(9, transfer), png((b"cICP", bytes((9, transfer, 0, 1))))):
        picture = read(data)
        with pytest.raises(PictureError, match=rf"HDR \({name}\).*write PNG or AVIF"):
            written(picture, format)
    with pytest.raises(PictureError, match=name):
        pictures.image_of(picture)


@avif
def test_srgb_and_unspecified_avif_get_no_tag() -> None:
    for numbers in ((1, 13), (2, 2)):
        assert read(avif_file(*numbers)).tags == ColourTags()
    with_profile = avif_file(12, 13, icc_profile=picture_files.rgb_profile())
    assert read(with_profile).tags == ColourTags(), "the profile takes precedence"


@avif
@pytest.mark.parametrize(("flags", "bits"), [(0x40, 10), (0x60, 12)])
def test_bits_that_are_lost_are_named(flags: int, bits: int) -> None:
    data = bytearray(avif_file(1, 13))
    pixi, config = data.index(b"pixi") + 4, data.index(b"av1C") + 4
    data[pixi + 5 : pixi + 8] = bytes([bits]) * 3
    data[config + 2] |= flags
    assert avif_boxes.read(BytesIO(bytes(data))).bits == bits
    data[pixi - 4 : pixi] = b"free"
    assert avif_boxes.read(BytesIO(bytes(data))).bits == bits, "also without a pixi box"


@avif
def test_damaged_boxes_never_raise() -> None:
    data = avif_file(12, 13)
    for at in range(300):
        avif_boxes.read(BytesIO(data[:at]))
        for value in (0, 1, 255):
            avif_boxes.read(BytesIO(data[:at] + bytes([value]) + data[at + 1 :]))


# --- PQ


def pq_picture(dtype: Any = np.uint16, **changes: Any) -> Picture:
    largest = np.iinfo(dtype).max
    colour = np.rint(RAMP / 255 * 0.75 * largest).astype(dtype)  # up to 1000 cd/m2
    return dataclasses.replace(Picture(colour, tags=ColourTags((9, 16))), **changes)


@pytest.mark.parametrize("dtype", [np.uint8, np.uint16])
def test_networks_see_pq_as_an_ordinary_photo_and_the_result_is_pq_again(dtype: Any) -> None:
    given = pq_picture(dtype, alpha=np.full(RAMP.shape[:2], 7, dtype))
    shown: list[Picture] = []

    def twice(picture: Picture) -> Picture:
        shown.append(picture)
        alpha = None if picture.alpha is None else picture.alpha.repeat(2, 0)
        return dataclasses.replace(picture, colour=picture.colour.repeat(2, 0), alpha=alpha)

    result = hdr.in_working_range(twice, given)
    (seen_by_network,) = shown
    assert seen_by_network.colour.dtype == np.uint16
    assert seen_by_network.colour.max() == 65535 > 1.2 * given.colour.max() / np.iinfo(dtype).max * 65535
    step = np.iinfo(dtype).max / 255
    assert result.colour.dtype == dtype and result.tags == given.tags
    assert np.abs(result.colour.astype(int) - given.colour.repeat(2, 0)).max() <= step / 4
    assert result.alpha is not None and (result.alpha == 7).all() and result.alpha.dtype == dtype
    assert any("PQ" in note for note in result.notes)


def test_pixels_that_a_task_leaves_alone_keep_every_bit() -> None:
    given = pq_picture(colour=picture_files.noise((40, 50, 3), np.uint16))

    def corner(picture: Picture) -> Picture:
        colour = picture.colour.copy()
        colour[:4, :4] = 30_000
        return dataclasses.replace(picture, colour=colour)

    result = hdr.in_working_range(corner, given)
    assert np.array_equal(result.colour[4:], given.colour[4:]) and np.ptp(result.colour[:4, :4]) == 0


def test_only_pq_is_converted_for_the_network() -> None:
    assert Picture(RAMP, tags=ColourTags((9, 16))).is_pq
    for tags in (ColourTags(), ColourTags((9, 18)), ColourTags((12, 13))):
        assert not Picture(RAMP, tags=tags).is_pq


@pytest.mark.parametrize("task", ["upscale", "translate", "inpaint"])
def test_every_task_shows_pq_in_the_working_range(task: str, monkeypatch: pytest.MonkeyPatch) -> None:
    seen: list[Picture] = []

    def in_working_range(run: Any, picture: Picture) -> Picture:
        seen.append(picture)
        return picture

    monkeypatch.setattr(hdr, "in_working_range", in_working_range)
    network = stub_network.stub(card=Card(name="tiny", task=task, scale=1))
    more = (np.ones(RAMP.shape[:2], bool),) if task == "inpaint" else ()
    given = pq_picture()
    module = importlib.import_module(f"img2img.runtime.tasks.{task}")
    assert getattr(module, task)(network, given, *more) is given and seen == [given]


def test_pq_is_found_in_an_icc_profile() -> None:
    profile = bytearray(ColourTags((9, 13)).profile(grey=False) or b"")
    count = int.from_bytes(profile[128:132], "big")
    start = len(profile)
    profile[132:136] = b"cicp"  # in place of the description
    profile[136:144] = struct.pack(">II", start, 12)
    assert count > 5 and not Picture(RAMP, icc=bytes(profile)).is_pq
    profile += b"cicp" + bytes(4) + bytes((9, 16, 0, 1))
    assert Picture(RAMP, icc=bytes(profile)).is_pq


def test_pq_follows_its_standard() -> None:
    """SMPTE ST 2084: 100 cd/m2 is 0.508, 203 is 0.581, 1000 is 0.752, 10 000 is 1."""
    nits = np.array([0, 100, 203, 1000, 10_000.0])
    assert np.allclose(hdr._pq(nits), [0, 0.508, 0.581, 0.752, 1], atol=6e-4)
    assert np.allclose(hdr._light(hdr._pq(nits)), nits, rtol=1e-6, atol=1e-6)


def test_profiles_are_the_same_every_time() -> None:
    tags = ColourTags((9, 13))
    assert tags.profile(grey=False) == colour_tags._profile.__wrapped__(tags, False)
