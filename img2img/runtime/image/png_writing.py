"""PNG of 8 or 16 bits per channel, compressed in bands on several threads (PNG, third edition, W3C 2025).

Each band is a deflate stream of its own that ends at a whole byte, so that the bands together are one stream. `pigz`
compresses files in the same way.
"""

import struct
import zlib
from collections.abc import Sequence
from typing import BinaryIO, NamedTuple

from img2img.runtime.image.bands import BandEncoder
from img2img.runtime.image.deflate import deflate
from img2img.runtime.image.png_filters import filter_rows
from img2img.types import Pixels

BAND_BYTES = 512 << 10

SIGNATURE = b"\x89PNG\r\n\x1a\n"
COLOUR_TYPES = {1: 0, 3: 2, 2: 4, 4: 6}  # channels -> grey, RGB, grey and alpha, RGB and alpha
ZLIB_HEADER = b"\x78\x5e"  # deflate with a window of 32 KiB, "fast" (RFC 1950)
ADLER_BASE = 65521


class PngBand(NamedTuple):
    """A compressed band, and the checksum and number of its bytes before compression."""

    packed: bytes
    adler: int
    size: int


class PngEncoder(BandEncoder[PngBand]):
    """Writes a PNG to a stream, which need not be seekable.

    Beside the pixels, memory holds a few bands.

    Args:
        pixels: uint8 or uint16 arrays [H, W, C], whose channels together are grey or RGB with or without alpha.
        exif: without the prefix `Exif\\0\\0`.
        dpi: pixels per inch.
        tags: chunks about colour: name, content.
        texts: chunks of text.
        threads: see `BandEncoder`.
    """

    def __init__(
        self,
        stream: BinaryIO,
        pixels: tuple[Pixels, ...],
        *,
        icc: bytes | None = None,
        exif: bytes | None = None,
        dpi: tuple[float, float] | None = None,
        tags: Sequence[tuple[bytes, bytes]] = (),
        texts: Sequence[tuple[bytes, bytes]] = (),
        threads: int | None = None,
    ) -> None:
        height, width = pixels[0].shape[:2]
        channels, bytes_each = sum(part.shape[2] for part in pixels), pixels[0].dtype.itemsize
        super().__init__(height, max(1, BAND_BYTES // (width * channels * bytes_each)), threads)
        self._stream = stream
        self._pixels = pixels
        self._adler: int | None = None
        stream.write(SIGNATURE)
        header = struct.pack(">IIBBBBB", width, height, 8 * bytes_each, COLOUR_TYPES[channels], 0, 0, 0)
        self._chunk(b"IHDR", header)
        for chunk in tags:
            self._chunk(*chunk)
        if icc:
            self._chunk(b"iCCP", b"ICC Profile\0\0" + zlib.compress(icc))
        if dpi:
            across, down = (int(value / 0.0254 + 0.5) for value in dpi)
            self._chunk(b"pHYs", struct.pack(">IIB", across, down, 1))
        if exif:
            self._chunk(b"eXIf", exif)
        for chunk in texts:
            self._chunk(*chunk)

    def encode_band(self, top: int, bottom: int) -> PngBand:
        rows = filter_rows(self._pixels, top, bottom)
        packed = deflate(rows, wbits=-zlib.MAX_WBITS, last=bottom == self.height)
        return PngBand(packed, zlib.adler32(rows.data), rows.size)

    def write_band(self, band: PngBand) -> None:
        if self._adler is None:
            self._adler = band.adler
            self._chunk(b"IDAT", ZLIB_HEADER + band.packed)
        else:
            self._adler = adler32_combine(self._adler, band.adler, band.size)
            self._chunk(b"IDAT", band.packed)

    def write_end(self) -> None:
        self._chunk(b"IDAT", struct.pack(">I", self._adler))
        self._chunk(b"IEND", b"")

    def _chunk(self, kind: bytes, data: bytes) -> None:
        self._stream.write(struct.pack(">I", len(data)) + kind)
        self._stream.write(data)
        self._stream.write(struct.pack(">I", zlib.crc32(data, zlib.crc32(kind))))


def adler32_combine(first: int, second: int, second_size: int) -> int:
    """The Adler-32 checksum of two pieces together, from those of the pieces. In zlib, but not in Python's module."""
    low = (first & 0xFFFF) + (second & 0xFFFF) - 1
    high = (first >> 16) + (second >> 16) + second_size * ((first & 0xFFFF) - 1)
    return high % ADLER_BASE << 16 | low % ADLER_BASE
