"""IPTC records and the Photoshop image resources that hold them.

A block is a series of image resources: `8BIM`, a number, a name, a length and data (Adobe Photoshop file formats
specification, 2019). IPTC is resource 0x0404 (IPTC-IIM 4.2, 2014). JPEG stores the block in APP13, TIFF in a tag, and
PNG in a text.
"""

from __future__ import annotations

import struct
from collections.abc import Iterable
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from img2img.runtime.image.jpeg_checks import Segment

IPTC, CAPTION, COPYRIGHTED, URL, DIGEST = 0x0404, 0x03F0, 0x040A, 0x040B, 0x0425
_DESCRIPTIVE = (IPTC, CAPTION, COPYRIGHTED, URL, DIGEST)  # the others are previews, sizes and settings of Photoshop
_SIGNATURE = b"8BIM"
_IN_JPEG = b"Photoshop 3.0\0"


def in_jpeg(segments: Iterable[Segment]) -> tuple[dict[int, int], bytes | None]:
    """Where segments of the block start and end, and the block, from the APP13 segments of a JPEG; None: no block.

    Pillow must not see them: it raises IndexError if they are cut off at certain bytes.
    """
    ours = [one for one in segments if one.content.startswith(_IN_JPEG) and one.is_whole]
    block = b"".join(one.content.removeprefix(_IN_JPEG) for one in ours)
    return {one.start: one.end for one in ours}, block if ours else None


def for_jpeg(block: bytes) -> list[bytes]:
    """The contents of the APP13 segments for a block."""
    room = 65533 - len(_IN_JPEG)
    return [_IN_JPEG + block[at : at + room] for at in range(0, len(block), room)]


def normalised(block: bytes) -> bytes | None:
    """The resources that describe the picture; None if there are none. Raises ValueError if the block is cut off."""
    return joined(resources(block))


def resources(block: bytes) -> dict[int, bytes]:
    """Number -> data of the resources that describe the picture. Raises ValueError if the block is cut off."""
    found: dict[int, bytes] = {}
    at = 0
    while block[at : at + 4] == _SIGNATURE:
        name_end = at + 6 + (block[at + 6] | 1) + 1 if at + 6 < len(block) else len(block)
        if name_end + 4 > len(block):
            raise ValueError("an image resource is cut off")
        number, length = struct.unpack_from(">H", block, at + 4)[0], struct.unpack_from(">I", block, name_end)[0]
        start = name_end + 4
        if start + length > len(block):
            raise ValueError("an image resource is cut off")
        if number in _DESCRIPTIVE:
            found[number] = block[start : start + length]
        at = start + length + length % 2
    if at == 0 and block.strip(b"\0"):
        raise ValueError("no image resources")
    if IPTC in found:
        check(found[IPTC])
    return found


def joined(found: dict[int, bytes]) -> bytes | None:
    """The block of some resources; None if there are none."""
    parts = [
        _SIGNATURE + struct.pack(">H2xI", number, len(data)) + data + b"\0" * (len(data) % 2)
        for number, data in sorted(found.items())
        if data
    ]
    return b"".join(parts) or None


def check(records: bytes) -> None:
    """Raise ValueError if IPTC records are cut off."""
    at = 0
    while records[at : at + 1] == b"\x1c":
        if at + 5 > len(records):
            raise ValueError("an IPTC record is cut off")
        (length,) = struct.unpack_from(">H", records, at + 3)
        at += 5
        if length & 0x8000:  # the length of the length follows
            size = length & 0x7FFF
            length = int.from_bytes(records[at : at + min(size, 4)], "big")
            at += size
        at += length
        if at > len(records):
            raise ValueError("an IPTC record is cut off")
    if records[at:].strip(b"\0"):
        raise ValueError("no IPTC record")


def from_tiff(records: bytes | None, block: bytes | None) -> bytes | None:
    """The block from TIFF's tags for IPTC records and for image resources. Raises ValueError."""
    found = resources(block) if block else {}
    if records:
        if records[:1] != b"\x1c" and records[3:4] == b"\x1c":  # written as integers in the wrong byte order
            records = b"".join(records[at : at + 4][::-1] for at in range(0, len(records), 4))
        check(records)
        found[IPTC] = records.rstrip(b"\0") if records[-4:].strip(b"\0") != records[-4:] else records
    return joined(found)
