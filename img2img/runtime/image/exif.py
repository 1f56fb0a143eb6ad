"""Changes EXIF blocks in place.

Maker notes contain absolute offsets into the block that only the camera's maker understands. Parsing and rewriting the
block would break them. This module overwrites only the few values that become wrong when the picture gets a new size or
is turned upright, and keeps every other byte.

A block is `Exif\\0\\0` followed by a TIFF structure, as in JPEG. PNG, WebP and AVIF omit the first six bytes.
"""

import struct
from io import BytesIO

from img2img.runtime.image.tiff_directory import (
    EXIF_IFD,
    GPS_IFD,
    LONG,
    SHORT,
    BrokenDirectory,
    Ifd,
    Order,
    Reader,
    header,
    pack,
)

PREFIX = b"Exif\0\0"

ORIENTATION, PIXEL_WIDTH, PIXEL_HEIGHT = 0x0112, 0xA002, 0xA003
THUMBNAIL_OFFSET, THUMBNAIL_LENGTH = 0x0201, 0x0202

# Tags in a TIFF file's main directory that describe the photo and its colours, not the storage of its pixels.
DESCRIPTIVE = frozenset(
    (269, 270, 271, 272, ORIENTATION, 285, 305, 306, 315, 316, 318, 319, 18246, 18249, 33432, *range(0x9C9B, 0x9CA0))
)


def kept(block: bytes, notes: list[str]) -> bytes | None:
    """The normalised block of a file. A damaged one costs a note."""
    try:
        return normalised(block)
    except ValueError:  # BrokenDirectory is one
        notes.append("the EXIF block is damaged and was left out")
        return None


def normalised(block: bytes) -> bytes:
    """The block with exactly one prefix. Raises BrokenDirectory if its directory cannot be read."""
    while block.startswith(PREFIX):
        block = block[len(PREFIX) :]
    reader = Reader(BytesIO(block))
    if reader.header.big:
        raise BrokenDirectory("EXIF does not allow 64-bit offsets")
    reader.directory(reader.header.first)
    return PREFIX + block


def orientation(block: bytes) -> int | None:
    """The EXIF orientation, 1 to 8; 1 if it is invalid, None if it is missing."""
    editor = _Editor(block)
    value = editor.value(editor.first, ORIENTATION)
    return value if value is None or 1 <= value <= 8 else 1


def upright(block: bytes) -> bytes:
    """The block for pixels that have been turned upright: orientation 1, and no (unturned) thumbnail."""
    editor = _Editor(block)
    editor.overwrite(editor.first, ORIENTATION, 1)
    editor.drop_thumbnail()
    return editor.block()


def fitted(block: bytes, width: int, height: int) -> bytes:
    """The block for new pixels of this size: pixel dimensions corrected if present, and no old thumbnail."""
    editor = _Editor(block)
    child = editor.value(editor.first, EXIF_IFD)
    if child:
        editor.overwrite(child, PIXEL_WIDTH, width)
        editor.overwrite(child, PIXEL_HEIGHT, height)
    editor.drop_thumbnail()
    return editor.block()


def without_orientation(block: bytes) -> bytes:
    """The block without its orientation tag, for formats that store the orientation elsewhere (AVIF)."""
    editor = _Editor(block)
    editor.remove(editor.first, ORIENTATION)
    return editor.block()


def from_tiff(page: Ifd, order: Order) -> bytes | None:
    """The EXIF block of a TIFF page, with orientation 1; None if the page does not describe the photo."""
    kept = Ifd(
        {tag: value for tag, value in page.entries.items() if tag in DESCRIPTIVE},
        {tag: child for tag, child in page.children.items() if tag in (EXIF_IFD, GPS_IFD)},
    )
    if not kept.entries and not kept.children:
        return None
    if ORIENTATION in kept.entries:
        kept.put(ORIENTATION, SHORT, order, 1)
    start = struct.pack(f"{order}2sHI", b"II" if order == "<" else b"MM", 42, 8)
    return PREFIX + start + pack(kept, order, 8)


def to_tiff(block: bytes) -> tuple[Ifd, Order]:
    """The directory for a TIFF file from an EXIF block, and the byte order of its values."""
    reader = Reader(BytesIO(block[len(PREFIX) :]))
    page, _ = reader.directory(reader.header.first)
    entries = {tag: value for tag, value in page.entries.items() if tag in DESCRIPTIVE}
    children = {tag: child for tag, child in page.children.items() if tag in (EXIF_IFD, GPS_IFD)}
    return Ifd(entries, children), reader.header.order


class _Editor:
    """Finds and overwrites entries of a normalised block. Missing entries and invalid offsets are ignored."""

    def __init__(self, block: bytes) -> None:
        self._data = bytearray(block[len(PREFIX) :])
        found = header(BytesIO(self._data))
        self._order, self.first = found.order, found.first

    def block(self) -> bytes:
        return PREFIX + bytes(self._data)

    def value(self, directory: int, tag: int) -> int | None:
        """The first value of a SHORT or LONG entry; None if there is no such entry."""
        position = self._find(directory, tag)
        if position is None:
            return None
        (kind,) = struct.unpack_from(f"{self._order}H", self._data, position + 2)
        code = {SHORT: "H", LONG: "I", 13: "I"}.get(kind)
        return None if code is None else struct.unpack_from(f"{self._order}{code}", self._data, position + 8)[0]

    def overwrite(self, directory: int, tag: int, value: int) -> None:
        """Change an entry that exists and holds one number."""
        position = self._find(directory, tag)
        if position is None:
            return
        kind, count = struct.unpack_from(f"{self._order}HI", self._data, position + 2)
        if count != 1 or kind not in (SHORT, LONG):
            return
        if kind == LONG or value > 0xFFFF:
            struct.pack_into(f"{self._order}HII", self._data, position + 2, LONG, 1, value)
        else:
            struct.pack_into(f"{self._order}HIHH", self._data, position + 2, SHORT, 1, value, 0)

    def remove(self, directory: int, tag: int) -> None:
        """Remove an entry. Later entries of the directory move up; nothing else moves."""
        position = self._find(directory, tag)
        if position is None:
            return
        (count,) = struct.unpack_from(f"{self._order}H", self._data, directory)
        end = min(directory + 2 + 12 * count + 4, len(self._data))
        self._data[position : end - 12] = self._data[position + 12 : end]
        struct.pack_into(f"{self._order}H", self._data, directory, count - 1)

    def drop_thumbnail(self) -> None:
        """Unlink the second directory, which is the thumbnail's, and remove its picture if that ends the block."""
        if self.first + 2 > len(self._data):
            return
        (count,) = struct.unpack_from(f"{self._order}H", self._data, self.first)
        pointer = self.first + 2 + 12 * count
        if pointer + 4 > len(self._data):
            return
        (second,) = struct.unpack_from(f"{self._order}I", self._data, pointer)
        if not second:
            return
        start, length = self.value(second, THUMBNAIL_OFFSET), self.value(second, THUMBNAIL_LENGTH)
        struct.pack_into(f"{self._order}I", self._data, pointer, 0)
        # If the picture comes after both directories, nothing else is removed with it.
        if start and length and max(pointer, second) < start and len(self._data) - 2 <= start + length:
            del self._data[start:]

    def _find(self, directory: int, tag: int) -> int | None:
        if directory + 2 > len(self._data):
            return None
        (count,) = struct.unpack_from(f"{self._order}H", self._data, directory)
        for position in range(directory + 2, min(directory + 2 + 12 * count, len(self._data) - 11), 12):
            if struct.unpack_from(f"{self._order}H", self._data, position)[0] == tag:
                return position
        return None
