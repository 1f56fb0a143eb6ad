"""TIFF of 8 or 16 bits per channel with all that an EXIF block holds; Pillow writes neither (TIFF 6.0; deflate and
predictor as in Adobe's Photoshop TIFF technical notes, 2002)."""

import struct
import zlib
from typing import Any, BinaryIO

import numpy as np
import numpy.typing as npt

from img2img.errors import PictureError
from img2img.runtime.image.exif import to_tiff
from img2img.runtime.image.tiff_directory import LONG, SHORT, UNDEFINED, Ifd, Order, pack

Pixels = npt.NDArray[Any]

COMPRESSION_LEVEL = 3
STRIP_BYTES = 256 << 10
LARGEST_FILE = (1 << 32) - 1  # offsets have 32 bits

WIDTH, HEIGHT, BITS, COMPRESSION, PHOTOMETRIC = 256, 257, 258, 259, 262
STRIP_OFFSETS, SAMPLES, ROWS_PER_STRIP, STRIP_LENGTHS = 273, 277, 278, 279
X_RESOLUTION, Y_RESOLUTION, PLANES, RESOLUTION_UNIT, PREDICTOR, EXTRA, ICC = 282, 283, 284, 296, 317, 338, 34675
ADOBE_DEFLATE, HORIZONTAL, BLACK_IS_ZERO, RGB, TOGETHER, INCH, STRAIGHT_ALPHA = 8, 2, 1, 2, 1, 2, 2


def write(
    stream: BinaryIO,
    pixels: tuple[Pixels, ...],
    *,
    icc: bytes | None = None,
    exif: bytes | None = None,
    dpi: tuple[float, float] | None = None,
) -> None:
    """Write uint8 or uint16 arrays [H, W, C], whose channels together are grey or RGB with or without alpha.

    The stream must be seekable and at its beginning. exif: a block as in Picture, whose byte order becomes the file's.
    Raises PictureError where the file would be larger than TIFF's 4 GiB.
    """
    page, order = to_tiff(exif) if exif else (Ifd(), "<")
    height, width = pixels[0].shape[:2]
    channels = sum(part.shape[2] for part in pixels)
    bits = pixels[0].dtype.itemsize * 8
    stream.write(struct.pack(f"{order}2sHI", b"II" if order == "<" else b"MM", 42, 0))
    rows = max(1, STRIP_BYTES // (width * channels * bits // 8))
    offsets, lengths, end = [], [], 8
    for top in range(0, height, rows):
        strip = _compressed(np.concatenate([part[top : top + rows] for part in pixels], axis=2), order)
        offsets.append(end)
        lengths.append(len(strip))
        stream.write(strip)
        end += len(strip)
    page.put(WIDTH, LONG, order, width)
    page.put(HEIGHT, LONG, order, height)
    page.put(BITS, SHORT, order, *[bits] * channels)
    page.put(COMPRESSION, SHORT, order, ADOBE_DEFLATE)
    page.put(PHOTOMETRIC, SHORT, order, RGB if channels > 2 else BLACK_IS_ZERO)
    page.put(STRIP_OFFSETS, LONG, order, *offsets)
    page.put(SAMPLES, SHORT, order, channels)
    page.put(ROWS_PER_STRIP, LONG, order, rows)
    page.put(STRIP_LENGTHS, LONG, order, *lengths)
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
    stream.write(b"\0" * (end % 2))
    end += end % 2
    directory = pack(page, order, end) if end <= LARGEST_FILE else b""
    if not directory or end + len(directory) > LARGEST_FILE:
        raise PictureError("a TIFF file cannot be larger than 4 GiB; write PNG instead")
    stream.write(directory)
    stream.seek(4)
    stream.write(struct.pack(f"{order}I", end))


def _compressed(strip: Pixels, order: Order) -> bytes:
    """One strip: horizontal differences of samples, modulo their range, then deflate."""
    differences = strip.copy()
    differences[:, 1:] -= strip[:, :-1]
    return zlib.compress(differences.astype(differences.dtype.newbyteorder(order)).tobytes(), COMPRESSION_LEVEL)
