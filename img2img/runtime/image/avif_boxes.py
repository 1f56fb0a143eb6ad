"""What the boxes of an AVIF say about its colours, which Pillow does not tell (ISO 23008-12; AVIF 1.1)."""

import struct
from collections.abc import Iterator
from dataclasses import dataclass
from typing import BinaryIO

MAX_META = 8 << 20  # bytes; a photo's has a few hundred


@dataclass(frozen=True, slots=True)
class AvifColour:
    """The colour of the primary picture."""

    primaries: int = 2  # ITU-T H.273; 2: unspecified
    transfer: int = 2
    bits: int = 8
    gain_map: bool = False  # the file also holds a gain map, which makes the picture HDR
    place: int | None = None  # of the two numbers in the file


def read(stream: BinaryIO) -> AvifColour:
    """Read the boxes of a seekable AVIF. Damaged boxes count as missing: the decoder reports damage."""
    try:
        return _read(stream)
    except (struct.error, IndexError):
        return AvifColour()


def _read(stream: BinaryIO) -> AvifColour:
    brands, start = b"", 0
    while True:
        stream.seek(start)
        head = stream.read(16)
        if len(head) < 8:
            return AvifColour()
        kind, size, length = _head(head, 0)
        if kind == b"ftyp":
            brands = head[8:] + stream.read(min(max(length - 16, 0), MAX_META))
        if kind == b"meta" and size < length <= MAX_META:
            stream.seek(start)
            return _of_meta(stream.read(length), size, start, b"tmap" in brands)
        if length < size:
            return AvifColour()
        start += length


def _of_meta(data: bytes, begin: int, offset: int, gain_map: bool) -> AvifColour:
    """The colour from a `meta` box that lies at `offset`; its content begins at `begin`."""
    primary, properties, of_item = None, [], {}
    for kind, start, end in _boxes(data, begin + 4, len(data)):
        if kind == b"pitm":
            primary = int.from_bytes(data[start + 4 : end], "big")
        if kind == b"iprp":
            for inner, first, last in _boxes(data, start, end):
                if inner == b"ipco":
                    properties = list(_boxes(data, first, last))
                if inner == b"ipma":
                    of_item = _associations(data[first:last])
    numbers = of_item.get(primary, range(1, len(properties) + 1))
    own = [properties[number - 1] for number in numbers if 0 < number <= len(properties)]
    bits, primaries, transfer, place = 8, 2, 2, None
    for kind, start, end in properties:  # the tiles of a grid have the bits of the whole
        if kind == b"av1C" and end - start >= 3 and data[start + 2] & 0x40:
            bits = 12 if data[start + 2] & 0x20 else 10
    for kind, start, end in own:
        if kind == b"pixi" and end - start >= 6:
            bits = data[start + 5]
        if kind == b"colr" and data[start : start + 4] == b"nclx" and end - start >= 8:
            primaries, transfer = struct.unpack_from(">HH", data, start + 4)
            place = offset + start + 4
    return AvifColour(primaries, transfer, bits, gain_map, place)


def _boxes(data: bytes, start: int, end: int) -> Iterator[tuple[bytes, int, int]]:
    """Yield kind, start and end of the content of each box."""
    while start + 8 <= end:
        kind, size, length = _head(data, start)
        length = end - start if length == 0 else length
        if length < size or start + length > end:
            return
        yield kind, start + size, start + length
        start += length


def _head(data: bytes, start: int) -> tuple[bytes, int, int]:
    """Kind, bytes of the head, and length of the box that starts there. A length of 0 means up to the end."""
    length, kind = struct.unpack_from(">I4s", data, start)
    return (kind, 16, struct.unpack_from(">Q", data, start + 8)[0]) if length == 1 else (kind, 8, length)


def _associations(data: bytes) -> dict[int | None, list[int]]:
    """Item -> numbers of its properties, from 1."""
    version, wide = data[0], data[3] & 1
    (count,) = struct.unpack_from(">I", data, 4)
    found: dict[int | None, list[int]] = {}
    at = 8
    for _ in range(min(count, len(data))):
        item = int.from_bytes(data[at : at + (4 if version else 2)], "big")
        at += 4 if version else 2
        number = data[at]
        at += 1
        pieces = [data[place : place + 1 + wide] for place in range(at, at + number * (1 + wide), 1 + wide)]
        found[item] = [int.from_bytes(piece, "big") & (0x7FFF if wide else 0x7F) for piece in pieces]
        at += number * (1 + wide)
    return found
