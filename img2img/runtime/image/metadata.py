"""Texts and records about a picture: XMP, IPTC, comments and PNG texts. EXIF and colour are not among them."""

from __future__ import annotations

import dataclasses
import struct
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from img2img.runtime.image import iptc, png_chunks, xmp
from img2img.text import show

if TYPE_CHECKING:
    from img2img.runtime.image.png_chunks import Chunk, Chunks
    from img2img.runtime.image.tiff_directory import Ifd

XMP_TAG, IPTC_TAG, PHOTOSHOP_TAG = 700, 33723, 34377  # in TIFF
BYTES, UNDEFINED = 1, 7

_XMP_EXTENSION = b"http://ns.adobe.com/xmp/extension/\0"
_XMP_START = b"http://ns.adobe.com/xap/1.0/\0"
_GAIN_MAP = b"urn:iso:std:iso:ts:21496:-1"
_SEGMENT = 65533  # the most bytes in a JPEG segment
_PROFILES = {b"iptc": "iptc", b"8bim": "iptc", b"xmp": "xmp", b"exif": "exif", b"APP1": "exif"}

_HELD = {
    "PNG": {"xmp", "iptc", "comments", "texts"},
    "JPEG": {"xmp", "extension", "iptc", "comments"},
    "TIFF": {"xmp", "iptc"},
    "WEBP": {"xmp"},
    "AVIF": {"xmp"},
}


@dataclass(frozen=True, slots=True)
class Metadata:
    """Texts and records about a picture. Every field is empty if the file has none."""

    xmp: bytes | None = None
    """A packet in UTF-8. Its orientation is 1, as that of EXIF."""
    extension: tuple[bytes, ...] = ()
    """Contents of JPEG's segments for an XMP packet that is too long for one."""
    iptc: bytes | None = None
    """Photoshop's image resources that describe the picture; one of them holds the IPTC records."""
    comments: tuple[bytes, ...] = ()
    """Comments of JPEG and GIF, in an unknown encoding."""
    texts: tuple[Chunk, ...] = ()
    """Chunks of PNG, as they were."""

    def upright(self) -> Metadata:
        """The metadata of pixels that have been turned upright."""
        return self if self.xmp is None else dataclasses.replace(self, xmp=xmp.upright(self.xmp))

    def fitted(self, width: int, height: int) -> Metadata:
        """The metadata of new pixels of this size."""
        return self if self.xmp is None else dataclasses.replace(self, xmp=xmp.fitted(self.xmp, width, height))

    def stays_in(self, format: str) -> bool:
        """Whether `format` (Pillow's name) holds all of it, and none of it changes with the size of the picture."""
        given = {one.name for one in dataclasses.fields(self) if getattr(self, one.name)}
        return "xmp" not in given and given <= _HELD.get(format, set())

    def held_by(self, format: str) -> tuple[Metadata, list[str]]:
        """What `format` (Pillow's name) can hold, and the names of what it cannot."""
        held, given = _HELD.get(format, set()), self
        if format == "JPEG":
            comments = tuple(text for chunk in self.texts if (text := _comment_of(chunk)) is not None)
            texts = tuple(chunk for chunk in self.texts if _comment_of(chunk) is None)
            given = dataclasses.replace(self, comments=(*self.comments, *comments), texts=texts)
        names = {
            "xmp": "XMP",
            "extension": "extended XMP",
            "iptc": "IPTC",
            "comments": "comment",
            "texts": f"PNG text ({png_chunks.shown_keywords([*map(png_chunks.keyword, given.texts)])})",
        }
        lost = [field for field in names if getattr(given, field) and field not in held]
        empty = Metadata()
        given = dataclasses.replace(given, **{field: getattr(empty, field) for field in lost})
        if given.xmp is not None and not given.extension:
            given = dataclasses.replace(given, xmp=xmp.unextended(given.xmp))
        return given, [names[field] for field in lost]

    def for_png(self) -> list[Chunk]:
        """Chunks for a PNG."""
        found = [] if self.xmp is None else [png_chunks.international_text(png_chunks.XMP, self.xmp)]
        if self.iptc is not None:
            found.append(png_chunks.profile_text("iptc", self.iptc))
        for comment in self.comments:
            text = comment.replace(b"\0", b"")
            if text.isascii() or not _is_utf_8(text):
                found.append((b"tEXt", png_chunks.COMMENT + b"\0" + text))
            else:
                found.append(png_chunks.international_text(png_chunks.COMMENT, text))
        return [*found, *self.texts]

    def for_jpeg(self) -> tuple[dict[str, Any], list[str]]:
        """Options for Pillow, and notes on what is too long."""
        options: dict[str, Any] = {}
        notes, segments = [], []
        if self.xmp is not None:
            packet = self.xmp if len(self.xmp) <= _SEGMENT - len(_XMP_START) else xmp.without_padding(self.xmp)
            if len(packet) <= _SEGMENT - len(_XMP_START):
                options["xmp"] = packet
                segments += [(0xFFE1, data) for data in self.extension]
            else:
                notes.append("XMP left out: JPEG has room for 64 KB of it")
        if self.iptc is not None:
            segments += [(0xFFED, data) for data in iptc.for_jpeg(self.iptc)]
        if any(len(comment) > _SEGMENT for comment in self.comments):
            notes.append("comment left out: JPEG has room for 64 KB of it")
        segments += [(0xFFFE, comment) for comment in self.comments if len(comment) <= _SEGMENT]
        extra = b"".join(struct.pack(">HH", marker, len(data) + 2) + data for marker, data in segments)
        return ({**options, "extra": extra} if extra else options), notes

    def for_tiff(self) -> dict[int, tuple[int, int, bytes]]:
        """Entries of a TIFF directory: tag -> type, count, value."""
        found = {}
        if self.xmp is not None:
            found[XMP_TAG] = (BYTES, len(self.xmp), self.xmp)
        if self.iptc is not None:
            parts = iptc.resources(self.iptc)
            if iptc.IPTC in parts:
                found[IPTC_TAG] = (UNDEFINED, len(parts[iptc.IPTC]), parts[iptc.IPTC])
            if set(parts) != {iptc.IPTC}:
                found[PHOTOSHOP_TAG] = (BYTES, len(self.iptc), self.iptc)
        return found


NO_METADATA = Metadata()


def from_jpeg(segments: Sequence[tuple[str, bytes]], resources: bytes | None, notes: list[str]) -> Metadata:
    """Metadata from Photoshop's resources and the other segments of a JPEG. Damaged blocks cost a note.

    Args:
        segments: as Pillow lists them: ("APP1", content).
    """
    packets = [data for name, data in segments if name == "APP1" and data.startswith(_XMP_START)]
    if any(name == "APP2" and data.startswith(_GAIN_MAP) for name, data in segments):
        notes.append(GAIN_MAP_NOTE)
    if any(name == "APP11" and b"c2pa" in data for name, data in segments):
        notes.append(png_chunks.CREDENTIALS_NOTE)
    packet = _packet(packets[0].removeprefix(_XMP_START), notes) if packets else None
    extension = tuple(data for name, data in segments if name == "APP1" and data.startswith(_XMP_EXTENSION))
    named = [data for data in extension if packet is not None and data[len(_XMP_EXTENSION) :][:32] in packet]
    return Metadata(
        xmp=packet,
        extension=tuple(named),
        iptc=_block(resources or b"", notes),
        comments=tuple(data for name, data in segments if name == "COM" and data),
    )


def from_png(chunks: Chunks, notes: list[str]) -> tuple[Metadata, bytes | None]:
    """Metadata from the texts of a PNG, and the EXIF block if it is in one of them. Damaged texts cost a note."""
    found: dict[str, Any] = {}
    texts, exif = [], None
    for chunk in chunks.texts:
        key = png_chunks.keyword(chunk)
        kind = _PROFILES.get(key.removeprefix(b"Raw profile type ")) if key.startswith(b"Raw profile type ") else None
        if key == png_chunks.XMP:
            kind = "xmp"
        if kind is None:
            texts.append(chunk)
            continue
        try:
            data = png_chunks.content(chunk) if key == png_chunks.XMP else png_chunks.profile(chunk)
        except ValueError:
            notes.append(f"the PNG text {show(key.decode('latin-1'))} is damaged or too large and was left out")
            continue
        if kind == "exif" and data.startswith(_XMP_START):
            kind, data = "xmp", data.removeprefix(_XMP_START)
        if kind == "exif":
            exif = exif or data
        else:
            found.setdefault(kind, _packet(data, notes) if kind == "xmp" else _block(data, notes))
    return Metadata(**found, texts=tuple(texts)), exif


def from_tiff(page: Ifd, notes: list[str]) -> Metadata:
    """Metadata from the first directory of a TIFF. Damaged blocks cost a note."""
    packet, records, resources = (page.entries.get(tag, (0, 0, b""))[2] for tag in (XMP_TAG, IPTC_TAG, PHOTOSHOP_TAG))
    block = None
    try:
        if page.skipped & {IPTC_TAG, PHOTOSHOP_TAG}:
            raise ValueError("too large or cut off")
        block = iptc.from_tiff(records, resources)
    except ValueError:
        notes.append(_BROKEN_IPTC)
    if XMP_TAG in page.skipped:
        notes.append("the XMP block is damaged or too large and was left out")
    return Metadata(xmp=_packet(packet, notes) if packet else None, iptc=block)


def from_info(info: Mapping[Any, Any], notes: list[str]) -> Metadata:
    """Metadata from Pillow's `info`, for WebP, AVIF, GIF and pictures in memory. Damaged blocks cost a note."""
    packet, comment = info.get("xmp"), info.get("comment")
    comment = comment.encode() if isinstance(comment, str) else comment
    return Metadata(
        xmp=_packet(packet, notes) if packet and isinstance(packet, bytes | str) else None,
        comments=(comment,) if comment and isinstance(comment, bytes) else (),
    )


GAIN_MAP_NOTE = "the HDR gain map was left out"
_BROKEN_IPTC = "the IPTC block is damaged and was left out"


def _packet(raw: bytes | str, notes: list[str]) -> bytes | None:
    try:
        packet = xmp.normalised(raw)
    except xmp.BrokenPacket as error:
        notes.append(f"the XMP block {error} and was left out")
        return None
    if isinstance(raw, bytes) and xmp.has_gain_map(raw) and GAIN_MAP_NOTE not in notes:
        notes.append(GAIN_MAP_NOTE)
    return packet


def _block(raw: bytes, notes: list[str]) -> bytes | None:
    try:
        if raw[:1] == b"\x1c":  # records without Photoshop's resources
            return iptc.from_tiff(raw, None)
        return iptc.normalised(raw) if raw else None
    except ValueError:
        notes.append(_BROKEN_IPTC)
        return None


def _comment_of(chunk: Chunk) -> bytes | None:
    """The comment in a PNG text, in UTF-8."""
    if png_chunks.keyword(chunk) != png_chunks.COMMENT:
        return None
    try:
        text = png_chunks.content(chunk)
    except ValueError:  # too large for a comment
        return None
    return text if chunk[0] == b"iTXt" else text.decode("latin-1").encode()


def _is_utf_8(text: bytes) -> bool:
    try:
        text.decode()
    except UnicodeDecodeError:
        return False
    return True
