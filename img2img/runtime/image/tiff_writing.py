"""TIFF of 8 or 16 bits per channel with all that an EXIF block holds; Pillow writes neither (TIFF 6.0; deflate and
predictor as in Adobe's Photoshop TIFF technical notes, 2002)."""

import struct
from collections.abc import Mapping
from types import MappingProxyType
from typing import BinaryIO

import numpy as np

from img2img.errors import PictureError
from img2img.runtime.image.bands import BandEncoder
from img2img.runtime.image.deflate import deflate
from img2img.runtime.image.exif import to_tiff
from img2img.runtime.image.tiff_directory import LONG, SHORT, UNDEFINED, Ifd, pack
from img2img.types import Pixels

STRIP_BYTES = 512 << 10
LARGEST_FILE = (1 << 32) - 1  # offsets have 32 bits

WIDTH, HEIGHT, BITS, COMPRESSION, PHOTOMETRIC = 256, 257, 258, 259, 262
STRIP_OFFSETS, SAMPLES, ROWS_PER_STRIP, STRIP_LENGTHS = 273, 277, 278, 279
X_RESOLUTION, Y_RESOLUTION, PLANES, RESOLUTION_UNIT, PREDICTOR, EXTRA, ICC = 282, 283, 284, 296, 317, 338, 34675
ADOBE_DEFLATE, HORIZONTAL, BLACK_IS_ZERO, RGB, TOGETHER, INCH, STRAIGHT_ALPHA = 8, 2, 1, 2, 1, 2, 2


class TiffEncoder(BandEncoder[bytes]):
    """Writes a TIFF to a stream, which must be seekable and at its beginning. Each band is a strip.

    Beside the pixels, memory holds a few strips.

    Args:
        pixels: uint8 or uint16 arrays [H, W, C], whose channels together are grey or RGB with or without alpha.
        exif: a block as in Picture. Its byte order becomes the file's.
        dpi: pixels per inch.
        more: further entries of the directory: tag -> type, count, value.
        threads: see `BandEncoder`.

    Raises:
        PictureError: `write_all`, where the file would be larger than TIFF's 4 GiB.
    """

    def __init__(
        self,
        stream: BinaryIO,
        pixels: tuple[Pixels, ...],
        *,
        icc: bytes | None = None,
        exif: bytes | None = None,
        dpi: tuple[float, float] | None = None,
        more: Mapping[int, tuple[int, int, bytes]] = MappingProxyType({}),
        threads: int | None = None,
    ) -> None:
        height, width = pixels[0].shape[:2]
        channels, bytes_each = sum(part.shape[2] for part in pixels), pixels[0].dtype.itemsize
        super().__init__(height, max(1, STRIP_BYTES // (width * channels * bytes_each)), threads)
        page, order = to_tiff(exif) if exif else (Ifd(), "<")
        self._stream, self._pixels, self._page, self._order = stream, pixels, page, order
        self._offsets: list[int] = []
        self._lengths: list[int] = []
        self._end = 8
        stream.write(struct.pack(f"{order}2sHI", b"II" if order == "<" else b"MM", 42, 0))
        page.entries.update(more)
        page.put(WIDTH, LONG, order, width)
        page.put(HEIGHT, LONG, order, height)
        page.put(BITS, SHORT, order, *[8 * bytes_each] * channels)
        page.put(COMPRESSION, SHORT, order, ADOBE_DEFLATE)
        page.put(PHOTOMETRIC, SHORT, order, RGB if channels > 2 else BLACK_IS_ZERO)
        page.put(SAMPLES, SHORT, order, channels)
        page.put(ROWS_PER_STRIP, LONG, order, self.band_rows)
        page.put(PLANES, SHORT, order, TOGETHER)
        page.put(PREDICTOR, SHORT, order, HORIZONTAL)
        if channels in (2, 4):
            page.put(EXTRA, SHORT, order, STRAIGHT_ALPHA)
        if icc:
            page.entries[ICC] = (UNDEFINED, len(icc), icc)
        if dpi:
            page.put_rational(X_RESOLUTION, order, dpi[0])
            page.put_rational(Y_RESOLUTION, order, dpi[1])
            page.put(RESOLUTION_UNIT, SHORT, order, INCH)

    def encode_band(self, top: int, bottom: int) -> bytes:
        """Horizontal differences of samples, modulo their range, then deflate."""
        strip = np.concatenate([part[top:bottom] for part in self._pixels], axis=2)
        differences = strip.copy()
        differences[:, 1:] -= strip[:, :-1]
        return deflate(differences.astype(strip.dtype.newbyteorder(self._order), copy=False).view(np.uint8))

    def write_band(self, band: bytes) -> None:
        self._offsets.append(self._end)
        self._lengths.append(len(band))
        self._stream.write(band)
        self._end += len(band)

    def write_end(self) -> None:
        page, order = self._page, self._order
        self._stream.write(b"\0" * (self._end % 2))
        end = self._end + self._end % 2
        directory = b""
        if end <= LARGEST_FILE:
            page.put(STRIP_OFFSETS, LONG, order, *self._offsets)
            page.put(STRIP_LENGTHS, LONG, order, *self._lengths)
            directory = pack(page, order, end)
        if not directory or end + len(directory) > LARGEST_FILE:
            raise PictureError("a TIFF file cannot be larger than 4 GiB; write PNG instead")
        self._stream.write(directory)
        self._stream.seek(4)
        self._stream.write(struct.pack(f"{order}I", end))
