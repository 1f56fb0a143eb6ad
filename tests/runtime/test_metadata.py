"""XMP, IPTC, comments and PNG texts are kept where a format can hold them, and named where it cannot."""

import dataclasses
import re
import struct
import tracemalloc
import zlib
from functools import lru_cache
from io import BytesIO
from typing import Any

import numpy as np
import picture_files
import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image, IptcImagePlugin, PngImagePlugin, features

from img2img.errors import PictureError
from img2img.runtime.image import iptc, pictures, writing, xmp
from img2img.runtime.image.metadata import Metadata

Chunk = tuple[bytes, bytes]
FORMATS = ["JPEG", "PNG", "WEBP", "TIFF", *(["AVIF"] if features.check("avif") else [])]

PACKET = b"""<?xpacket begin="\xef\xbb\xbf" id="W5M0MpCehiHzreSzNTczkc9d"?>
<x:xmpmeta xmlns:x="adobe:ns:meta/"><rdf:RDF xmlns:rdf="http://www.w3.org/1999/02/22-rdf-syntax-ns#">
<rdf:Description rdf:about="" xmlns:xmp="http://ns.adobe.com/xap/1.0/" xmlns:tiff="http://ns.adobe.com/tiff/1.0/"
 xmlns:exif="http://ns.adobe.com/exif/1.0/" xmlns:dc="http://purl.org/dc/elements/1.1/" xmp:Rating="5"
 tiff:Orientation="1" exif:PixelXDimension='24' tiff:ImageWidth="24">
<exif:PixelYDimension>16</exif:PixelYDimension><tiff:ImageLength>16</tiff:ImageLength>
<dc:title><rdf:Alt><rdf:li xml:lang="x-default">Fr\xc3\xbchling</rdf:li></rdf:Alt></dc:title>
</rdf:Description></rdf:RDF></x:xmpmeta>
<?xpacket end="w"?>"""
FITTED = (
    PACKET.replace(b"'24'", b"'48'")
    .replace(b'"24"', b'"48"')
    .replace(b">16</exif", b">32</exif")
    .replace(b">16<", b">32<")
)
RECORDS = b"\x1c\x02\x05\x00\x05Title\x1c\x02\x19\x00\x03key"
RESOURCES = b"8BIM\x04\x04\0\0" + struct.pack(">I", len(RECORDS)) + RECORDS
THUMBNAIL = b"8BIM\x04\x0c\0\0" + struct.pack(">I", 40) + bytes(40)
PHOTO = np.kron(picture_files.noise((8, 12, 3)), np.ones((2, 2, 1), np.uint8))


def segment(marker: int, data: bytes) -> bytes:
    return struct.pack(">HH", marker, len(data) + 2) + data


def jpeg(*segments: bytes, **options: Any) -> bytes:
    return saved("JPEG", extra=b"".join(segments), **options)


def saved(format: str, **options: Any) -> bytes:
    stream = BytesIO()
    Image.fromarray(PHOTO).save(stream, format, **options)
    return stream.getvalue()


def source(format: str) -> bytes:
    """A picture of 24 x 16 with all metadata that the format has."""
    if format == "JPEG":
        return jpeg(segment(0xFFED, b"Photoshop 3.0\0" + THUMBNAIL + RESOURCES), xmp=PACKET, comment="Grüße".encode())
    if format == "PNG":
        texts = [
            (b"iTXt", b"XML:com.adobe.xmp\0\1\0\0\0" + zlib.compress(PACKET)),
            (b"tEXt", b"parameters\0a tree, seed 1"),
            (b"zTXt", b"Title\0\0" + zlib.compress(b"Spring \xfc")),
            (b"iTXt", b"Title\0\0\0de\0Titel\0" + "Frühling".encode()),
        ]
        return picture_files.png(PHOTO, chunks=b"".join(picture_files.chunk(*text) for text in texts))
    if format == "TIFF":
        return saved("TIFF", tiffinfo={700: PACKET, 33723: RECORDS})
    return saved(format, xmp=PACKET)


def written(data: bytes, format: str) -> tuple[bytes, str]:
    """A result of twice the size in `format`, and its notes."""
    picture = pictures.read(BytesIO(data))
    large = dataclasses.replace(picture, colour=picture.colour.repeat(2, 0).repeat(2, 1))
    stream = BytesIO()
    notes = writing.write(large, stream, format=format)
    return stream.getvalue(), "; ".join((*picture.notes, *notes))


def chunks(png: bytes) -> list[Chunk]:
    """An independent walk over a PNG."""
    found, at = [], 8
    while at < len(png):
        length, name = struct.unpack_from(">I4s", png, at)
        data = png[at + 8 : at + 8 + length]
        assert zlib.crc32(name + data) == int.from_bytes(png[at + 8 + length : at + 12 + length], "big")
        found.append((name, data))
        at += 12 + length
    return found


def segments(data: bytes) -> list[tuple[int, bytes]]:
    """An independent walk over a JPEG, up to its pixels."""
    found, at = [], 2
    while data[at + 1] != 0xDA:
        marker, length = struct.unpack_from(">HH", data, at)
        found.append((marker, data[at + 4 : at + 2 + length]))
        at += 2 + length
    return found


def packet_of(data: bytes) -> bytes | None:
    with Image.open(BytesIO(data)) as image:
        image.load()
        found = image.info.get("xmp")
        assert found is None or isinstance(found, bytes)
        return found


def records_of(data: bytes) -> Any:
    with Image.open(BytesIO(data)) as image:
        return IptcImagePlugin.getiptcinfo(image)


@pytest.mark.parametrize("to", [*FORMATS, "BMP"])
@pytest.mark.parametrize("format", FORMATS)
def test_every_block_is_kept_or_named(format: str, to: str) -> None:
    result, notes = written(source(format), to)
    assert result == written(source(format), to)[0], "the same input gives the same bytes"
    # XMP
    if to == "BMP":
        assert "XMP" in notes
    else:
        assert packet_of(result) == FITTED and "XMP" not in notes
    # IPTC
    if format in ("JPEG", "TIFF"):
        if to in ("JPEG", "TIFF"):
            assert records_of(result) == {(2, 5): b"Title", (2, 25): b"key"}
        if to == "PNG":
            (text,) = [data for name, data in chunks(result) if data.startswith(b"Raw profile type iptc\0")]
            lines = zlib.decompress(text.split(b"\0\0", 1)[1]).split(b"\n")
            assert lines[1] == b"iptc" and int(lines[2]) == len(RESOURCES)
            assert bytes.fromhex(b"".join(lines[3:]).decode()) == RESOURCES
        assert ("IPTC" in notes) == (to in ("WEBP", "AVIF", "BMP"))
    # comments
    if format == "JPEG":
        if to == "JPEG":
            assert (0xFFFE, "Grüße".encode()) in segments(result)
        if to == "PNG":
            assert (b"iTXt", b"Comment\0\0\0\0\0" + "Grüße".encode()) in chunks(result)
        assert ("comment" in notes) == (to not in ("JPEG", "PNG"))
    # PNG texts
    if format == "PNG":
        texts = [one for one in chunks(source("PNG")) if one[0] in (b"tEXt", b"zTXt", b"iTXt")][1:]
        if to == "PNG":
            assert [one for one in chunks(result) if one in texts] == texts, "all, in order, with their languages"
        assert ("PNG text (parameters, Title)" in notes) == (to != "PNG")


def test_metadata_survives_jpeg_png_jpeg() -> None:
    there, _ = written(source("JPEG"), "PNG")
    back, notes = written(there, "JPEG")
    assert records_of(back) == {(2, 5): b"Title", (2, 25): b"key"} and notes == ""
    assert (0xFFFE, "Grüße".encode()) in segments(back)


@pytest.mark.parametrize("format", ["JPEG", "PNG", "WEBP"])
def test_orientation_of_xmp_is_applied_where_exif_has_none_and_becomes_1(format: str) -> None:
    turned = PACKET.replace(b'tiff:Orientation="1"', b'tiff:Orientation="6"')
    text = PngImagePlugin.PngInfo()
    text.add_itxt("XML:com.adobe.xmp", turned.decode())
    data = saved(format, **({"pnginfo": text} if format == "PNG" else {"xmp": turned}))
    assert pictures.read(BytesIO(data)).size == (16, 24)
    result, _ = written(data, "PNG")
    found = packet_of(result)
    assert found is not None and b'tiff:Orientation="1"' in found and b"PixelXDimension='32'" in found
    exif = picture_files.exif(orientation=3)
    both = saved(format, exif=exif, **({"pnginfo": text} if format == "PNG" else {"xmp": turned}))
    assert pictures.read(BytesIO(both)).size == (24, 16), "EXIF takes precedence"


@pytest.mark.parametrize(
    "given",
    [
        '<a xmlns:{p}="{u}" {p}:{n}="9"/>',
        "<a xmlns:{p}='{u}' {p}:{n} = '9'/>",
        '<a xmlns:{p}="{u}"><{p}:{n}>9</{p}:{n}></a>',
        '<a xmlns:{p}="{u}"><{p}:{n} rdf:datatype="x">\n9 </{p}:{n}></a>',
        '<a xmlns:{p}="{u}"><{p}:{n} rdf:parseType="Resource"><rdf:value>9</rdf:value></{p}:{n}></a>',
        '<a xmlns:{p}="{u}"><{p}:{n}><![CDATA[9]]></{p}:{n}></a>',
    ],
)
@pytest.mark.parametrize("prefix", ["own", "other"])
@pytest.mark.parametrize(
    ("space", "name", "value"),
    [
        ("tiff", "Orientation", 1),
        ("exif", "PixelXDimension", 640),
        ("exif", "PixelYDimension", 480),
        ("tiff", "ImageWidth", 640),
        ("tiff", "ImageLength", 480),
    ],
)
def test_fields_are_corrected_in_every_form(given: str, prefix: str, space: str, name: str, value: int) -> None:
    prefix = space if prefix == "own" else "ns1"
    text = given.format(p=prefix, u=f"http://ns.adobe.com/{space}/1.0/", n=name)
    fitted = xmp.fitted(xmp.upright(xmp.normalised(text)), 640, 480)
    digits = re.findall(rb"(?<![.\w])\d+(?![.\w])", fitted.replace(b"ns1", b""))
    assert [int(number) for number in digits if number != b"1"] == [value][: value > 1]
    assert b"9" not in fitted


def test_what_belongs_to_the_old_file_goes_and_all_else_stays() -> None:
    inner = '<{}xmp:Thumbnails><rdf:li>base64</rdf:li></xmp:Thumbnails><a:b c="1">text</a:b>'
    packet = xmp.normalised(f'<r hdrgm:Version="1.0" GCamera:MotionPhoto="1" k="v">{inner.format("")}</r>')
    assert packet == b'<r   k="v"><a:b c="1">text</a:b></r>'
    assert xmp.normalised(PACKET) == PACKET


@pytest.mark.parametrize("codec", ["utf-16", "utf-16-le", "utf-16-be", "utf-32"])
def test_xmp_in_other_encodings_becomes_utf_8(codec: str) -> None:
    assert xmp.normalised('<a title="Grüße"/>'.encode(codec)) == '<a title="Grüße"/>'.encode()


@pytest.mark.parametrize(
    ("packet", "says"),
    [
        (b'<!DOCTYPE a [<!ENTITY b "bbb"><!ENTITY c "&b;&b;">]><a>&c;</a>', "document type"),
        (b"<" + b" " * (17 << 20), "larger than 16 MB"),
        (b"no markup", "damaged"),
        (b"<a>\0</a>", "damaged"),
        (b"\xff\xfe\0", "damaged"),
    ],
)
def test_xmp_that_is_not_safe_costs_only_itself(packet: bytes, says: str) -> None:
    data = saved("WEBP", xmp=packet)
    result, notes = written(data, "PNG")
    assert "XMP block" in notes and says in notes and packet_of(result) is None


@pytest.mark.parametrize(
    "hostile",
    [
        b"<a " + b"tiff:Orientation " * 40_000,
        b"<a " + b"tiff:Orientation='" * 40_000,
        b"<tiff:Orientation " * 40_000,
        b"<xmp:Thumbnails>" * 40_000,
        b"<a" + b" " * 1_000_000 + b"tiff:Orientation",
        b" ".join(b'xmlns:p%d="http://ns.adobe.com/tiff/1.0/"' % number for number in range(20_000)) + b"<",
        b"<hdrgm:Version>" * 40_000,
    ],
)
def test_patterns_take_linear_time(hostile: bytes) -> None:
    """Quadratic patterns would take many minutes."""
    packet = xmp.normalised(hostile)
    xmp.orientation(packet)
    xmp.fitted(xmp.upright(packet), 1, 1)


@lru_cache
def bomb() -> bytes:
    """300 MB of zeros, deflated."""
    packer = zlib.compressobj(9)
    return b"".join(packer.compress(bytes(1 << 20)) for _ in range(300)) + packer.flush()


@pytest.mark.parametrize("name", [b"zTXt", b"iTXt"])
@pytest.mark.parametrize("keyword", [b"Title", b"XML:com.adobe.xmp", b"Comment", b"Raw profile type iptc", b"gamma"])
def test_a_text_that_inflates_without_end_is_left_out_with_a_note(name: bytes, keyword: bytes) -> None:
    data = keyword + (b"\0\0" if name == b"zTXt" else b"\0\1\0\0\0") + bomb()
    png = picture_files.png(PHOTO, chunks=picture_files.chunk(name, data))
    tracemalloc.start()
    try:
        result, notes = written(png, "PNG")
        assert tracemalloc.get_traced_memory()[1] < 40 << 20
    finally:
        tracemalloc.stop()
    assert "left out" in notes and len(result) < 1 << 20
    with Image.open(BytesIO(result)) as image:  # other readers are not hurt by the result
        image.load()


@pytest.mark.parametrize(
    "data",
    [b"Title", b"Title\0\1x", b"Title\0\0" + zlib.compress(b"text")[:-3], b"Title\0\0no deflate"],
)
def test_a_damaged_text_costs_only_itself(data: bytes) -> None:
    texts = picture_files.chunk(b"zTXt", data) + picture_files.chunk(b"tEXt", b"Author\0me")
    result, notes = written(picture_files.png(PHOTO, chunks=texts), "PNG")
    assert "PNG text (Title) left out: damaged" in notes
    assert [one for one in chunks(result) if one[0] in (b"tEXt", b"zTXt")] == [(b"tEXt", b"Author\0me")]


@pytest.mark.parametrize("keyword", [b"gamma", b"dpi", b"transparency", b"icc_profile", b"exif", b"srgb", b"xmp"])
def test_a_text_never_passes_for_something_else(keyword: bytes) -> None:
    texts = picture_files.chunk(b"tEXt", keyword + b"\x00text")
    picture = pictures.read(BytesIO(picture_files.png(PHOTO, chunks=texts)))
    assert np.array_equal(picture.colour, PHOTO) and picture.notes == ()
    assert (picture.alpha, picture.icc, picture.exif, picture.dpi) == (None, None, None, None)
    assert picture.metadata.texts == ((b"tEXt", keyword + b"\0text"),)


@pytest.mark.parametrize("profile", [b"x", b"x\0\0no deflate", b"x\0\1", b"x\0\0" + zlib.compress(bytes(17 << 20))])
def test_a_profile_that_cannot_be_unpacked_costs_only_itself(profile: bytes) -> None:
    result, notes = written(picture_files.png(PHOTO, chunks=picture_files.chunk(b"iCCP", profile)), "PNG")
    assert "the ICC profile is damaged or too large and was left out" in notes
    assert b"iCCP" not in dict(chunks(result))


def test_a_text_with_a_wrong_checksum_is_left_out_with_a_note() -> None:
    text = bytearray(picture_files.chunk(b"tEXt", b"Title\0text"))
    text[-5] ^= 1
    result, notes = written(picture_files.png(PHOTO, chunks=bytes(text)), "PNG")
    assert "PNG text (Title) left out: damaged" in notes and b"tEXt" not in dict(chunks(result))


def test_texts_after_the_pixels_are_kept() -> None:
    png = picture_files.png(PHOTO)
    end = len(png) - 12
    late = png[:end] + picture_files.chunk(b"tEXt", b"Software\0late") + png[end:]
    assert (b"tEXt", b"Software\0late") in chunks(written(late, "PNG")[0])


@pytest.mark.parametrize("cut", range(1, len(RESOURCES)))
def test_iptc_that_is_cut_off_costs_only_itself(cut: int) -> None:
    data = jpeg(segment(0xFFED, b"Photoshop 3.0\0" + RESOURCES[:cut]), comment=b"kept")
    result, notes = written(data, "JPEG")
    assert "IPTC block is damaged" in notes
    assert (0xFFFE, b"kept") in segments(result) and all(marker != 0xFFED for marker, _ in segments(result))


def test_iptc_over_several_segments_is_joined_and_split() -> None:
    caption = b"\x1c\x02\x78\x80\x04" + struct.pack(">I", 100_001) + b"c" * 100_001
    block = iptc.joined({iptc.IPTC: caption})
    assert block is not None
    parts = [segment(0xFFED, b"Photoshop 3.0\0" + block[at : at + 65_000]) for at in range(0, len(block), 65_000)]
    for format in ("JPEG", "PNG", "TIFF"):
        result, notes = written(jpeg(*parts), format)
        again, _ = written(result, "TIFF")
        with Image.open(BytesIO(again)) as image:
            assert image.tag_v2[33723] == caption and notes == ""  # type: ignore[attr-defined]


def test_iptc_written_as_integers_of_the_other_byte_order_is_understood() -> None:
    swapped = b"".join(RECORDS.ljust(24, b"\0")[at : at + 4][::-1] for at in range(0, 24, 4))
    assert iptc.from_tiff(swapped, None) == RESOURCES + b"\0" * (len(RECORDS) % 2)


def test_extended_xmp_stays_in_jpeg_and_is_named_elsewhere() -> None:
    guid = b"0123456789ABCDEF0123456789ABCDEF"
    main = PACKET.replace(b"xmp:Rating", b'xmpNote:HasExtendedXMP="' + guid + b'" xmp:Rating')
    more = b"http://ns.adobe.com/xmp/extension/\0" + guid + struct.pack(">II", 4, 0) + b"<b/>"
    stray = b"http://ns.adobe.com/xmp/extension/\0" + guid[::-1] + struct.pack(">II", 4, 0) + b"<c/>"
    result, notes = written(jpeg(segment(0xFFE1, more), segment(0xFFE1, stray), xmp=main), "JPEG")
    assert (0xFFE1, more) in segments(result) and (0xFFE1, stray) not in segments(result) and notes == ""
    result, notes = written(result, "PNG")
    found = packet_of(result)
    assert "extended XMP" in notes and found is not None and guid not in found and b'xmp:Rating="5"' in found


def test_xmp_beyond_a_jpeg_segment_loses_its_padding_or_is_named() -> None:
    padded = PACKET.replace(b"<?xpacket end", b" " * 70_000 + b"<?xpacket end")
    result, notes = written(saved("WEBP", xmp=padded), "JPEG")
    found = packet_of(result)
    assert found is not None and b'xmp:Rating="5"' in found and notes == ""
    long = PACKET.replace(b"Fr\xc3\xbchling", b"x" * 70_000)
    result, notes = written(saved("WEBP", xmp=long), "JPEG")
    assert packet_of(result) is None and "XMP left out: JPEG has room for 64 KB" in notes
    assert packet_of(written(saved("WEBP", xmp=long), "TIFF")[0]) is not None


def test_a_gain_map_is_named_and_not_claimed_by_the_result() -> None:
    claims = PACKET.replace(b"xmp:Rating", b'hdrgm:Version="1.0" xmp:Rating')
    result, notes = written(saved("JPEG", xmp=claims), "JPEG")
    found = packet_of(result)
    assert "HDR gain map" in notes and found is not None and b"hdrgm" not in found


def test_content_credentials_are_named() -> None:
    for data in (
        jpeg(segment(0xFFEB, b"JP\0\1 jumb c2pa")),
        picture_files.png(PHOTO, chunks=picture_files.chunk(b"caBX", b"x")),
    ):
        assert "content credentials" in written(data, "PNG")[1]


def test_primaries_of_a_tiff_are_kept() -> None:
    result, _ = written(
        saved("TIFF", tiffinfo={318: (0.3127, 0.329), 319: (0.68, 0.32, 0.265, 0.69, 0.15, 0.06)}), "TIFF"
    )
    with Image.open(BytesIO(result)) as image:
        tags = image.tag_v2  # type: ignore[attr-defined]
        assert [round(float(value), 3) for value in (*tags[318], *tags[319])][2:4] == [0.68, 0.32]


def test_gif_comment_is_kept() -> None:
    stream = BytesIO()
    Image.fromarray(PHOTO).save(stream, "GIF", comment=b"hello")
    assert (0xFFFE, b"hello") in segments(written(stream.getvalue(), "JPEG")[0])
    assert (b"tEXt", b"Comment\0hello") in chunks(written(stream.getvalue(), "PNG")[0])


def test_stripped_pictures_have_pixels_and_colours_only() -> None:
    picture = pictures.read(BytesIO(source("JPEG"))).stripped()
    assert (picture.exif, picture.dpi, picture.metadata) == (None, None, Metadata())


@given(data=st.binary(max_size=200), start=st.sampled_from([b"", b"8BIM", b"8BIM\4\4\0\0", b"\x1c\2\5"]))
def test_any_iptc_bytes_are_kept_or_refused(data: bytes, start: bytes) -> None:
    try:
        block = iptc.normalised(start + data)
    except ValueError:
        return
    assert block is None or iptc.normalised(block) == block


@given(
    data=st.binary(max_size=300), name=st.sampled_from([b"tEXt", b"zTXt", b"iTXt", b"cICP", b"cHRM", b"gAMA", b"sBIT"])
)
def test_any_chunk_is_read_and_written(data: bytes, name: bytes) -> None:
    png = picture_files.png(PHOTO, chunks=picture_files.chunk(name, data))
    try:
        result, _ = written(png, "PNG")
    except PictureError:  # Pillow refuses short tags
        assert name in (b"cHRM", b"gAMA")
        return
    assert np.array_equal(
        pictures.read(BytesIO(result)).colour, pictures.read(BytesIO(png)).colour.repeat(2, 0).repeat(2, 1)
    )
