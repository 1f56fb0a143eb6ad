"""Whether the compressed pixels of a TIFF are whole, as libtiff does not ask.

libtiff stops to unpack when it has all rows, so that it never sees the checksum behind them, and it drops the warnings
of libjpeg.
"""

import zlib
from collections.abc import Iterator
from typing import BinaryIO

from img2img.runtime.image.jpeg_checks import note_of
from img2img.runtime.image.tiff_reading import ADOBE_DEFLATE, Tiff

JPEG, DEFLATE = 7, 32946
_PLACES = ((273, 279), (324, 325))  # offsets and lengths of strips, and of tiles
_JPEG_TABLES = 347
_PIECE = 1 << 20


def check(stream: BinaryIO, tiff: Tiff) -> list[str]:
    """Notes on damaged pixels in a seekable TIFF. Unpacks deflate and JPEG once more; other kinds have no checksums.

    Raises:
        ValueError: a checksum is wrong.
    """
    if tiff.compression in (ADOBE_DEFLATE, DEFLATE):
        for strip in _strips(stream, tiff):
            _check_deflate(strip)
    if tiff.compression != JPEG:
        return []
    _, _, tables = tiff.page.entries.get(_JPEG_TABLES, (0, 0, b""))
    notes: dict[str, None] = {}
    for strip in _strips(stream, tiff):
        # Without the end and the start between them; libtiff does not need the end of a strip either.
        note = note_of((tables[:-2] + strip[2:] if tables else strip) + b"\xff\xd9")
        if note is not None:
            notes[note] = None
    return list(notes)


def _strips(stream: BinaryIO, tiff: Tiff) -> Iterator[bytes]:
    for offsets, lengths in _PLACES:
        places = tiff.page.numbers(offsets, tiff.order) or ()
        for place, length in zip(places, tiff.page.numbers(lengths, tiff.order) or (), strict=False):
            stream.seek(place)
            yield stream.read(length)


def _check_deflate(data: bytes) -> None:
    inflate = zlib.decompressobj()
    try:
        while data and not inflate.eof:
            inflate.decompress(data, _PIECE)
            data = inflate.unconsumed_tail
    except zlib.error as error:
        raise ValueError("the checksum of its pixels is wrong") from error
