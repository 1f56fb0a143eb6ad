"""Reads and writes TIFF directories (IFDs), the structure that EXIF blocks and TIFF files share.

See TIFF 6.0, section 2, and EXIF 2.32, 4.5. Values remain raw bytes in the file's byte order. This copies everything
that a camera wrote from one file to another, including unknown types.
"""

import struct
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import BinaryIO, Literal

Order = Literal["<", ">"]

BYTE, ASCII, SHORT, LONG, RATIONAL, UNDEFINED = 1, 2, 3, 4, 5, 7
TYPE_SIZES = {1: 1, 2: 1, 3: 2, 4: 4, 5: 8, 6: 1, 7: 1, 8: 2, 9: 4, 10: 8, 11: 4, 12: 8, 13: 4}

EXIF_IFD, GPS_IFD, INTEROP_IFD = 0x8769, 0x8825, 0xA005
SUB_IFDS = (EXIF_IFD, GPS_IFD, INTEROP_IFD)

MAX_ENTRIES = 4096  # a photo's directory has a few dozen; more means that the offset is wrong
MAX_VALUE_BYTES = 1 << 20  # longer values are pixels, layers or strip tables, which do not describe the photo
LONG_VALUES = (700, 33723, 34377)  # XMP, IPTC and Photoshop's resources may be longer
MAX_LONG_VALUE_BYTES = 16 << 20
MAX_ALL_ENTRIES = 300_000  # of a file: takes 0.2 s
MAX_METADATA_BYTES = 32 << 20  # limit for all directories of a file, because a header can claim gigabytes


class BrokenDirectory(ValueError):
    """The bytes are not a TIFF structure, or contain an offset beyond their end."""


@dataclass(slots=True)
class Ifd:
    """One directory. `entries` maps a tag to (type, count, raw value), `children` a pointer tag to its directory.

    `skipped` are the tags whose values are too long or outside the file.
    """

    entries: dict[int, tuple[int, int, bytes]] = field(default_factory=dict)
    children: dict[int, "Ifd"] = field(default_factory=dict)
    skipped: set[int] = field(default_factory=set)

    def numbers(self, tag: int, order: Order) -> tuple[int, ...] | None:
        """The unsigned integers of a tag (BYTE, SHORT or LONG); None if it is missing or has another type."""
        kind, count, raw = self.entries.get(tag, (0, 0, b""))
        code = {BYTE: "B", SHORT: "H", LONG: "I"}.get(kind)
        return struct.unpack(f"{order}{count}{code}", raw) if code else None

    def put(self, tag: int, kind: int, order: Order, *values: int) -> None:
        """Set a tag to unsigned integers of type SHORT or LONG."""
        code = {SHORT: "H", LONG: "I"}[kind]
        self.entries[tag] = (kind, len(values), struct.pack(f"{order}{len(values)}{code}", *values))

    def put_rational(self, tag: int, order: Order, value: float) -> None:
        """Set a tag to the nearest fraction with a denominator of at most 10 000, which suffices for resolutions."""
        from fractions import Fraction  # imported late: reading a JPEG does not need it

        ratio = Fraction(value).limit_denominator(10_000)
        self.entries[tag] = (RATIONAL, 1, struct.pack(f"{order}II", ratio.numerator, ratio.denominator))


@dataclass(frozen=True, slots=True)
class Header:
    """The first bytes of a TIFF structure."""

    order: Order
    big: bool  # BigTIFF: 64-bit offsets
    first: int  # offset of the first directory


def header(stream: BinaryIO) -> Header:
    """Read the header at the start of `stream`. Raises BrokenDirectory."""
    stream.seek(0)
    head = stream.read(16)
    order: Order = ">" if head[:2] == b"MM" else "<"
    magic = head[2:4]
    if head[:2] not in (b"II", b"MM") or magic not in (b"\0*", b"*\0", b"\0+", b"+\0") or len(head) < 8:
        raise BrokenDirectory("no TIFF header")
    if b"+" in magic:
        if len(head) < 16:
            raise BrokenDirectory("the BigTIFF header is cut off")
        return Header(order, True, struct.unpack(f"{order}Q", head[8:16])[0])
    return Header(order, False, struct.unpack(f"{order}I", head[4:8])[0])


class Reader:
    """Reads directories from a seekable stream, at most MAX_METADATA_BYTES and MAX_ALL_ENTRIES in total."""

    def __init__(self, stream: BinaryIO) -> None:
        self.stream = stream
        self.header = header(stream)
        self._left = MAX_METADATA_BYTES
        self.entries_left = MAX_ALL_ENTRIES

    def directory(self, offset: int, depth: int = 0) -> tuple[Ifd, int]:
        """The directory at `offset` with its sub-directories, and the offset of the next one (0: none).

        Sub-directories and values outside the file are skipped, as viewers do. Raises BrokenDirectory if the directory
        itself is cut off.
        """
        result = Ifd()
        raw_entries, following = self._table(offset)
        for tag, kind, count, inline in raw_entries:
            if kind not in TYPE_SIZES:
                continue
            size = TYPE_SIZES[kind] * count
            limit = MAX_LONG_VALUE_BYTES if tag in LONG_VALUES else MAX_VALUE_BYTES
            inside = size <= limit
            raw = inline[:size] if size <= len(inline) else self._at(self._offset(inline), size) if inside else None
            if raw is None:
                result.skipped.add(tag)
                continue
            if tag in SUB_IFDS:
                if tag in result.children:  # thousands of pointers to one directory would take seconds
                    continue
                child = self._child(self._offset(inline[: TYPE_SIZES[kind]]), depth) if count == 1 else None
                if child is not None:
                    result.children[tag] = child
                continue
            result.entries[tag] = (kind, count, raw)
        return result, following

    def chain(self) -> Iterator[Ifd]:
        """Yield the main directories (pages) in file order. A circular chain ends at its first repetition."""
        seen: set[int] = set()
        offset = self.header.first
        while offset and offset not in seen:
            seen.add(offset)
            page, offset = self.directory(offset)
            yield page

    def _table(self, offset: int) -> tuple[list[tuple[int, int, int, bytes]], int]:
        order, big = self.header.order, self.header.big
        counter, width, pointer = ("Q", 20, "Q") if big else ("H", 12, "I")
        start = self._at(offset, struct.calcsize(f"{order}{counter}"))
        if start is None:
            raise BrokenDirectory(f"no directory at byte {offset}")
        (count,) = struct.unpack(f"{order}{counter}", start)
        self.entries_left -= count
        fits = count <= MAX_ENTRIES and self.entries_left >= 0
        table = self._at(offset + len(start), count * width) if fits else None
        if table is None:
            raise BrokenDirectory(f"the directory at byte {offset} is cut off")
        layout = f"{order}HHQ8s" if big else f"{order}HHI4s"
        # Some writers omit the last "next" pointer, which ends the chain.
        end = self._at(offset + len(start) + len(table), struct.calcsize(f"{order}{pointer}"))
        following = struct.unpack(f"{order}{pointer}", end)[0] if end else 0
        return list(struct.iter_unpack(layout, table)), following

    def _child(self, offset: int, depth: int) -> Ifd | None:
        if depth >= 2:  # IFD0 -> EXIF -> interoperability is the deepest nesting in the standard
            return None
        try:
            return self.directory(offset, depth + 1)[0]
        except BrokenDirectory:
            return None

    def _offset(self, raw: bytes) -> int:
        return int.from_bytes(raw, "little" if self.header.order == "<" else "big")

    def _at(self, offset: int, size: int) -> bytes | None:
        if size > self._left:
            return None
        self.stream.seek(offset)
        data = self.stream.read(size)
        self._left -= len(data)
        return data if len(data) == size else None


def pack(ifd: Ifd, order: Order, offset: int) -> bytes:
    """The bytes of a directory and its sub-directories for the even position `offset` in a file; no next directory."""
    tags = sorted((*ifd.entries, *(tag for tag in ifd.children if tag not in ifd.entries)))
    table = bytearray(struct.pack(f"{order}H", len(tags)))
    beyond = bytearray()
    start = offset + 2 + 12 * len(tags) + 4
    for tag in tags:
        if tag in ifd.children:
            position = start + len(beyond)
            beyond += pack(ifd.children[tag], order, position)
            table += struct.pack(f"{order}HHII", tag, LONG, 1, position)
            continue
        kind, count, raw = ifd.entries[tag]
        if len(raw) <= 4:
            table += struct.pack(f"{order}HHI4s", tag, kind, count, raw)
            continue
        table += struct.pack(f"{order}HHII", tag, kind, count, start + len(beyond))
        beyond += raw + b"\0" * (len(raw) % 2)  # values start at even positions
    return bytes(table) + bytes(4) + bytes(beyond)
