"""Damaged pixels are noted or refused, and sound files never are."""

import struct
import zlib
from io import BytesIO
from typing import Any

import numpy as np
import picture_files
import pytest
from conftest import ROOT
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from img2img.errors import PictureError
from img2img.runtime.image import pictures, writing
from img2img.runtime.image.jpeg_checks import CUT_OFF, DAMAGED
from img2img.runtime.image.pictures import Picture

with Image.open(ROOT / "examples" / "cake.jpg") as _image:
    PHOTO = _image.convert("RGB").resize((320, 200))

KINDS: dict[str, dict[str, Any]] = {
    "one scan": {},
    "grey": {"grey": True},
    "full colour": {"subsampling": "4:4:4", "quality": 95},
    "restart markers": {"restart_marker_rows": 1},
    "progressive": {"progressive": True},
    "progressive grey": {"progressive": True, "grey": True},
    "many restart markers": {"restart_marker_blocks": 7},
}


def jpeg(*, grey: bool = False, image: Image.Image = PHOTO, **options: Any) -> bytes:
    stream = BytesIO()
    (image.convert("L") if grey else image).save(stream, "JPEG", **options)
    return stream.getvalue()


def one_scan_per_colour() -> bytes:
    """A JPEG with three components, each in a scan of its own, from three grey ones."""
    parts = []
    for plane in PHOTO.convert("YCbCr").split():
        parts.append(jpeg(image=plane, quality=90))
    head = parts[0][: parts[0].index(b"\xff\xda")]
    place = head.index(b"\xff\xc0")
    size = head[place + 4 : place + 9]
    frame = b"\xff\xc0\0\x11" + size + b"\3" + b"".join(bytes((number, 0x11, 0)) for number in (1, 2, 3))
    head = head[:place] + frame + head[place + 13 :]
    scans = (
        b"\xff\xda\0\x08\1" + bytes((number, 0, 0, 63, 0)) + part[scan(part) : -2]
        for number, part in enumerate(parts, 1)
    )
    return head + b"".join(scans) + b"\xff\xd9"


def test_a_scan_for_each_colour_is_watched_too() -> None:
    data = one_scan_per_colour()
    assert notes(data) == ()
    assert np.abs(pictures.read(BytesIO(data)).colour - np.asarray(PHOTO).astype(int)).mean() < 3
    last = data.rindex(b"\xff\xda")
    assert notes(data[:last] + b"\xff\xd9") == (CUT_OFF,)
    assert notes(data[: (last + len(data)) // 2] + b"\xff\xd9") == (CUT_OFF,)
    middle = last // 2
    assert set(notes(data[:middle] + bytes(range(1, 60)) + data[middle + 59 :])) & {DAMAGED, CUT_OFF}


def notes(data: bytes) -> tuple[str, ...]:
    return pictures.read(BytesIO(data)).notes


def scan(data: bytes) -> int:
    """Where the pixels of a JPEG start."""
    place = data.index(b"\xff\xda")
    return place + 2 + int.from_bytes(data[place + 2 : place + 4], "big")


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("part", [0.02, 0.4, 0.9, 0.99])
def test_a_jpeg_that_ends_early_but_properly_is_noted(kind: str, part: float) -> None:
    data = jpeg(**KINDS[kind])
    start = scan(data)
    cut = start + round((len(data) - 2 - start) * part)
    cut -= data[cut - 1] == 0xFF
    assert notes(data[:cut] + b"\xff\xd9") == (CUT_OFF,)


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("part", [0.1, 0.5, 0.8])
def test_a_jpeg_with_noise_in_its_pixels_is_noted(kind: str, part: float) -> None:
    data = jpeg(**KINDS[kind])
    start = scan(data)
    place = start + round((len(data) - 2 - start) * part)
    noise = np.random.default_rng(0).integers(0, 255, 60, np.uint8).tobytes()  # without 255
    damaged = data[:place] + noise + data[place + len(noise) :]
    if kind.startswith("many"):  # too little noise is not noticed by libjpeg either; a lost marker is
        lost = min(data.index(bytes((0xFF, 0xD0 + number)), place) for number in range(3))
        damaged = data[:lost] + data[lost + 2 :]
    assert set(notes(damaged)) & {DAMAGED, CUT_OFF}


def test_a_small_file_that_claims_a_huge_picture_is_noted() -> None:
    for progressive, marker in ((False, b"\xff\xc0"), (True, b"\xff\xc2")):
        data = bytearray(jpeg(progressive=progressive))
        place = data.index(marker) + 5
        data[place : place + 4] = struct.pack(">HH", 3000, 4000)
        assert CUT_OFF in notes(bytes(data))


@given(
    width=st.integers(1, 70),
    height=st.integers(1, 70),
    seed=st.integers(0, 9),
    level=st.integers(0, 255),
    options=st.fixed_dictionaries(
        {"quality": st.integers(1, 100), "grey": st.booleans(), "subsampling": st.integers(0, 2)},
        optional={
            "optimize": st.booleans(),
            "progressive": st.booleans(),
            "restart_marker_rows": st.integers(1, 3),
            "restart_marker_blocks": st.integers(1, 9),
        },
    ),
)
def test_a_sound_jpeg_has_no_note(width: int, height: int, seed: int, level: int, options: dict[str, Any]) -> None:
    pixels = (
        picture_files.noise((height, width, 3), seed=seed) if seed else np.full((height, width, 3), level, np.uint8)
    )
    assert notes(jpeg(image=Image.fromarray(pixels), **options)) == ()


def test_our_own_jpeg_of_several_bands_has_no_note(monkeypatch: pytest.MonkeyPatch) -> None:
    from img2img.runtime.image import jpeg_bands

    monkeypatch.setattr(jpeg_bands, "MOST_UNITS", 60)
    stream = BytesIO()
    writing.write(Picture(np.asarray(PHOTO)), stream, format="JPEG")
    assert stream.getvalue().count(b"\xff\xd0") > 0
    assert notes(stream.getvalue()) == ()


def test_padding_and_more_pictures_after_the_end_are_no_damage() -> None:
    data = jpeg()
    assert notes(data[:-2] + b"\xff\xff\xff\xd9" + jpeg(grey=True)) == ()
    for kind in KINDS.values():
        assert notes(jpeg(**kind)[:-2] + bytes(40) + b"\xff\xd9") == (), "zeros before the end are padding"
        assert notes(jpeg(**kind)[:-2] + bytes(range(1, 41)) + b"\xff\xd9") == (DAMAGED,)


@pytest.mark.parametrize("kind", KINDS)
def test_a_jpeg_that_was_only_partly_written_is_noted(kind: str) -> None:
    data = jpeg(**KINDS[kind])
    half = (scan(data) + len(data)) // 2
    assert set(notes(data[:half] + bytes(len(data) - 2 - half) + b"\xff\xd9")) & {CUT_OFF, DAMAGED}


def strips(data: bytes) -> list[tuple[int, int]]:
    with Image.open(BytesIO(data)) as image:
        tags = image.tag_v2  # type: ignore[attr-defined]
        return list(zip(tags[273], tags[279], strict=True))


@pytest.mark.parametrize("compression", ["tiff_adobe_deflate", "tiff_deflate"])
@pytest.mark.parametrize("mode", ["RGB", "L", "I;16"])
def test_deflate_in_tiff_is_checked(compression: str, mode: str) -> None:
    """libtiff only finds some of these."""
    image = PHOTO.convert("L") if mode != "RGB" else PHOTO
    image = Image.fromarray(np.asarray(image).astype(np.uint16) * 257) if mode == "I;16" else image
    stream = BytesIO()
    image.save(stream, "TIFF", compression=compression)
    data = stream.getvalue()
    assert notes(data) == ()
    start, length = strips(data)[0]
    assert zlib.decompress(data[start : start + length])
    for place in range(start + length // 4, start + length, length // 9):
        damaged = data[:place] + bytes(9) + data[place + 9 :]
        with pytest.raises(PictureError, match="damaged or cut off"):
            notes(damaged)


@pytest.mark.parametrize("grey", [False, True])
def test_jpeg_in_tiff_is_checked(grey: bool) -> None:
    stream = BytesIO()
    (PHOTO.convert("L") if grey else PHOTO).save(stream, "TIFF", compression="jpeg")
    data = stream.getvalue()
    assert notes(data) == ()
    start, length = strips(data)[0]
    half = start + length // 2
    cut = data[:half] + b"\xff\xd9" + bytes(start + length - half - 2) + data[start + length :]
    assert CUT_OFF in notes(cut)


@pytest.mark.parametrize("tags", [(0x8769,), (0x8769, 0x8825, 0xA005)])
@pytest.mark.parametrize("format", ["JPEG", "PNG", "WEBP"])
def test_exif_that_points_to_itself_is_read_in_bounds(tags: tuple[int, ...], format: str) -> None:
    """Thousands of pointers to their own directory, at two levels, would be millions of entries."""
    from img2img.runtime.image.tiff_directory import Reader

    entries = b"".join(struct.pack("<HHII", tags[number % len(tags)], 4, 1, 8) for number in range(4095))
    block = b"II*\0" + struct.pack("<IH", 8, 4095) + entries + struct.pack("<I", 8)
    reader = Reader(BytesIO(block))
    reader.directory(8)
    assert reader.entries_left > 200_000
    stream = BytesIO()
    PHOTO.save(stream, format, exif=b"Exif\0\0" + block)
    assert pictures.read(BytesIO(stream.getvalue())).size == PHOTO.size


def test_pages_that_overlap_are_counted_in_bounds() -> None:
    from img2img.runtime.image.tiff_directory import MAX_ALL_ENTRIES, BrokenDirectory, Reader

    page = struct.pack("<H", 4095) + struct.pack("<HHII", 256, 3, 1, 1) * 4095
    data = b"II*\0" + struct.pack("<I", 8) + page + struct.pack("<I", 20) + page * 4
    reader = Reader(BytesIO(data))
    pages = 0
    with pytest.raises(BrokenDirectory):
        for _ in range(MAX_ALL_ENTRIES // 4095 + 1):
            reader.directory(8)
            pages += 1
    assert pages == MAX_ALL_ENTRIES // 4095


@pytest.mark.parametrize("kind", KINDS)
def test_bytes_between_the_segments_are_noted(kind: str) -> None:
    data = jpeg(**KINDS[kind])
    place = data.index(b"\xff\xdb")
    assert notes(data[:place] + b"\xff\xff" + data[place:]) == ()  # padding, which the standard allows
    for garbage in (b"x", b"\xff\0", bytes(range(1, 60))):
        assert notes(data[:place] + garbage + data[place:]) == (DAMAGED,), garbage


def test_bytes_between_two_scans_are_noted() -> None:
    data = jpeg(progressive=True)
    last = data.rindex(b"\xff\xc4")
    assert notes(data[:last] + b"\xff\xff\xff" + data[last:]) == ()
    scan_header = data.index(b"\xff\xda", last)
    assert notes(data[:scan_header] + b"xyz" + data[scan_header:]) == (DAMAGED,)
