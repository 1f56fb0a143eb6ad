"""Identifies the format of a file by its first bytes, and reads the picture's size if they contain it.

Pillow then only tries this format. No other decoder processes an untrusted file (EPS starts Ghostscript!), and the
plugins of other formats need not be imported.
"""

import codecs
import struct

HEAD_BYTES = 64

READABLE = ("PNG", "JPEG", "WebP", "TIFF", "BMP", "AVIF", "GIF")

_OTHER_FILES = (
    (b"%PDF", "a PDF document"),
    (b"8BPS", "a Photoshop document"),
    (b"%!PS", "a PostScript file"),
    (b"\xc5\xd0\xd3\xc6", "a PostScript file"),
    (b"\0\0\1\0", "an icon"),
    (b"\xff\x0a", "a JPEG XL picture"),
    (b"\0\0\0\x0cJXL ", "a JPEG XL picture"),
    (b"\0\0\0\x0cjP  ", "a JPEG 2000 picture"),
    (b"\xffO\xffQ", "a JPEG 2000 picture"),
    (b"v/1\x01", "an OpenEXR picture"),
    (b"#?RADIANCE", "a Radiance picture"),
    (b"qoif", "a QOI picture"),
    (b"gimp xcf", "a GIMP document"),
    (b"PK\x03\x04", "a ZIP archive"),
    (b"\x1f\x8b", "a gzip archive"),
    (b"\x1aE\xdf\xa3", "a video"),
    (b"<svg", "an SVG drawing"),
    (b"version https://git-lfs", "a Git LFS pointer: the picture itself is not downloaded"),
    (b"<", "a web page or XML text"),
)


def identify(head: bytes) -> str | None:
    """Pillow's name for the format of a file with these first HEAD_BYTES bytes; None if it is unknown."""
    if head.startswith(b"\x89PNG\r\n\x1a\n"):
        return "PNG"
    if head.startswith(b"\xff\xd8\xff"):
        return "JPEG"
    if head[:4] == b"RIFF" and head[8:12] == b"WEBP":
        return "WEBP"
    if head[:4] in (b"II*\0", b"MM\0*", b"II+\0", b"MM\0+"):
        return "TIFF"
    if head[:2] == b"BM":
        return "BMP"
    if head[:6] in (b"GIF87a", b"GIF89a"):
        return "GIF"
    if head[4:8] == b"ftyp" and (head[8:12] in (b"avif", b"avis") or b"avif" in _brands(head)):
        return "AVIF"
    return None


def size(head: bytes, name: str) -> tuple[int, int] | None:
    """Width and height in pixels according to the first HEAD_BYTES bytes; None if the format stores them elsewhere."""
    try:
        if name == "PNG" and head[12:16] == b"IHDR":
            return struct.unpack(">II", head[16:24])
        if name == "GIF":
            return struct.unpack("<HH", head[6:10])
        if name == "BMP":
            if head[14:18] == b"\x0c\0\0\0":
                return struct.unpack("<HH", head[18:22])
            width, height = struct.unpack("<ii", head[18:26])
            return abs(width), abs(height)  # a negative height means that the rows are stored top to bottom
        if name == "WEBP":
            return _webp_size(head)
    except struct.error:
        return None  # the header is cut off, which the decoder reports
    return None


def describe_unknown(head: bytes) -> str:
    """Guess what a file of an unknown format is, in words for the user."""
    text = head.lstrip(b"\xef\xbb\xbf \t\r\n")
    for signature, what in _OTHER_FILES:
        if head.startswith(signature) or (signature.startswith(b"<") and text.startswith(signature)):
            return what
    if head[4:8] == b"ftyp":
        return "a HEIC picture or a video"
    if _is_text(head):
        return "text"
    return "not a picture, or one in an unknown format"


def _is_text(head: bytes) -> bool:
    try:
        letters = codecs.getincrementaldecoder("utf-8")().decode(head)  # the last character may be incomplete
    except UnicodeDecodeError:
        return False
    return bool(letters) and all(letter.isprintable() or letter in "\t\r\n\ufeff" for letter in letters)


def _brands(head: bytes) -> list[bytes]:
    end = min(int.from_bytes(head[:4], "big"), len(head))
    return [head[at : at + 4] for at in range(16, end - 3, 4)]


def _webp_size(head: bytes) -> tuple[int, int] | None:
    kind = head[12:16]
    if kind == b"VP8 " and head[23:26] == b"\x9d\x01\x2a":
        width, height = struct.unpack("<HH", head[26:30])
        return width & 0x3FFF, height & 0x3FFF
    if kind == b"VP8L" and head[20:21] == b"\x2f":
        (bits,) = struct.unpack("<I", head[21:25])
        return (bits & 0x3FFF) + 1, (bits >> 14 & 0x3FFF) + 1
    if kind == b"VP8X" and len(head) >= 30:
        return int.from_bytes(head[24:27], "little") + 1, int.from_bytes(head[27:30], "little") + 1
    return None
