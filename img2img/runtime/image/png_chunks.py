"""The chunks of a PNG that do not hold pixels: texts and colour tags (PNG, third edition, W3C 2025).

Pillow unpacks every text, keeps one for each keyword, forgets languages, and files texts under the same keys as colour
profiles and gamma. It drops damaged profiles silently and refuses pictures with large ones. So these chunks are read
here, and Pillow gets the file without them.
"""

import struct
import zlib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from typing import BinaryIO

from img2img.text import show

Chunk = tuple[bytes, bytes]  # name, content

TEXTS, PROFILE = (b"tEXt", b"zTXt", b"iTXt"), b"iCCP"
COLOUR_TAGS = (b"cICP", b"mDCV", b"cLLI", b"cHRM", b"gAMA", b"sRGB", b"sBIT")  # all come before the pixels
LONGEST_TAG = 32  # bytes: cHRM
XMP = b"XML:com.adobe.xmp"
COMMENT = b"Comment"
CREDENTIALS = b"caBX"
CREDENTIALS_NOTE = "the content credentials (C2PA) were left out: they sign the original"
MAX_TEXTS = 64 << 20  # bytes of all texts of a file, because some programs store whole workflows there
MAX_BLOCK = 16 << 20  # unpacked bytes of a colour profile, and of a text that holds XMP, EXIF or IPTC
_MOST_KEYWORDS = 5  # in a note


@dataclass(slots=True)
class Chunks:
    """What a PNG holds beside pixels, in the order of the file."""

    texts: list[Chunk] = field(default_factory=list)
    tags: dict[bytes, bytes] = field(default_factory=dict)
    icc: bytes | None = None
    places: dict[int, int] = field(default_factory=dict)  # where a chunk that Pillow must not see starts -> its end
    notes: list[str] = field(default_factory=list)


def read(stream: BinaryIO) -> Chunks:
    """Read texts, colour profile and colour tags of a seekable PNG. Of a file that is cut off, it reads what there is.

    All texts together may have MAX_TEXTS bytes, packed and unpacked. Chunks that are damaged or too large cost a note.
    """
    found, left = Chunks(), MAX_TEXTS
    lost: list[bytes] = []
    for start, name, length in _walk(stream):
        if name in COLOUR_TAGS and length <= LONGEST_TAG:
            found.tags.setdefault(name, stream.read(length))
        if name == CREDENTIALS:
            found.notes.append(CREDENTIALS_NOTE)
        if name not in TEXTS and name != PROFILE:
            continue
        found.places[start] = start + 12 + length
        chunk = (name, stream.read(min(length, left)))
        sound = stream.read(4) == zlib.crc32(chunk[1], zlib.crc32(name)).to_bytes(4, "big")
        try:
            if not sound:
                raise ValueError("its checksum is wrong, or it is too large")
            if name == PROFILE:
                found.icc = found.icc or content(chunk)
                continue
            size = max(length, _size_of_text(chunk, left))
            left = max(0, left - size)
            if not left:
                raise ValueError("it is too large")
            found.texts.append(chunk)
        except ValueError:
            if name == PROFILE:
                found.notes.append("the ICC profile is damaged or too large and was left out")
            else:
                lost.append(keyword(chunk))
    if lost:
        found.notes.append(f"PNG text ({shown_keywords(lost)}) left out: damaged or too large")
    return found


def shown_keywords(keys: Sequence[bytes]) -> str:
    """The keywords in a note, each once."""
    names = ["XMP" if key == XMP else show(key[:79].decode("latin-1")) for key in dict.fromkeys(keys)]
    return ", ".join(names[:_MOST_KEYWORDS]) + (", ..." if len(names) > _MOST_KEYWORDS else "")


def keyword(chunk: Chunk) -> bytes:
    """The keyword of a text, in Latin-1."""
    return chunk[1].partition(b"\0")[0]


def content(chunk: Chunk) -> bytes:
    """The unpacked text: UTF-8 in iTXt, otherwise Latin-1. Raises ValueError if it is damaged or above MAX_BLOCK."""
    packed, data = _parts(chunk)
    if not packed:
        return data
    inflate = zlib.decompressobj()
    try:
        result = inflate.decompress(data, MAX_BLOCK)
    except zlib.error as error:
        raise ValueError(str(error)) from error
    if not inflate.eof:
        raise ValueError("it is cut off or too large")
    return result


def profile(chunk: Chunk) -> bytes:
    """The bytes of a "Raw profile type" text: ImageMagick's way to store EXIF and IPTC in a PNG.

    Three lines (empty, name, size) precede hexadecimal digits. Raises ValueError.
    """
    lines = content(chunk).decode("latin-1").split("\n")
    return bytes.fromhex("".join(lines[3:]))


def profile_text(name: str, data: bytes) -> Chunk:
    """The text that holds the bytes of a profile; see `profile`."""
    digits = data.hex()
    lines = [digits[start : start + 72] for start in range(0, len(digits), 72)]
    text = "\n".join([f"\n{name}\n{len(data):8d}", *lines, ""])
    return b"zTXt", f"Raw profile type {name}\0\0".encode() + zlib.compress(text.encode())


def international_text(key: bytes, text: bytes) -> Chunk:
    """An unpacked iTXt chunk of UTF-8."""
    return b"iTXt", key + b"\0\0\0\0\0" + text


def _walk(stream: BinaryIO) -> Iterator[tuple[int, bytes, int]]:
    """Yield place, name and length of each chunk. The stream is then at the chunk's content."""
    start = 8
    while True:
        stream.seek(start)
        head = stream.read(8)
        if len(head) < 8:
            return
        length, name = struct.unpack(">I4s", head)
        yield start, name, length
        if name == b"IEND":
            return
        start += 12 + length


def _parts(chunk: Chunk) -> tuple[bool, bytes]:
    """Whether a text is compressed, and its bytes. Raises ValueError."""
    name, data = chunk
    _, found, rest = data.partition(b"\0")
    if not found:
        raise ValueError("it has no text")
    if name == b"tEXt":
        return False, rest
    if name in (b"zTXt", PROFILE):
        if rest[:1] != b"\0":
            raise ValueError("unknown compression")
        return True, rest[1:]
    if len(rest) < 4 or rest[0] > 1 or (rest[0] and rest[1]):
        raise ValueError("unknown compression")
    parts = rest[2:].split(b"\0", 2)  # language, translated keyword, text
    if len(parts) < 3:
        raise ValueError("it has no text")
    return bool(rest[0]), parts[2]


def _size_of_text(chunk: Chunk, limit: int) -> int:
    """The number of unpacked bytes, counted up to a little above the limit. Raises ValueError."""
    packed, data = _parts(chunk)
    if not packed:
        return len(data)
    inflate, size = zlib.decompressobj(), 0
    try:
        while data and not inflate.eof and size <= limit:
            size += len(inflate.decompress(data, 1 << 20))
            data = inflate.unconsumed_tail
    except zlib.error as error:
        raise ValueError(str(error)) from error
    if not inflate.eof and size <= limit:
        raise ValueError("it is cut off")
    return size
