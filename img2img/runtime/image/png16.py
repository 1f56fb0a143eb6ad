"""PNG with 16 bits per channel, which Pillow can write for grey only (PNG, third edition, W3C 2025)."""

import struct
import zlib
from typing import Any, BinaryIO

import numpy as np
import numpy.typing as npt

Pixels = npt.NDArray[Any]

COMPRESSION_LEVEL = 1  # 16-bit noise hardly compresses: level 6 saves 1.5 % and takes twice as long
BAND_BYTES = 4 << 20  # rows are filtered and compressed in bands of about this size

COLOUR_TYPES = {1: 0, 3: 2, 2: 4, 4: 6}  # channels -> grey, RGB, grey and alpha, RGB and alpha
SUB, UP = 1, 2


def write(
    stream: BinaryIO,
    pixels: tuple[Pixels, ...],
    *,
    icc: bytes | None = None,
    exif: bytes | None = None,
    dpi: tuple[float, float] | None = None,
) -> None:
    """Write uint16 arrays [H, W, C], whose channels together are grey or RGB with or without alpha, as one PNG.

    exif: without the `Exif\\0\\0` prefix; dpi: pixels per inch. Memory beyond the arrays is a few bands of rows.
    """
    height, width = pixels[0].shape[:2]
    channels = sum(part.shape[2] for part in pixels)
    stream.write(b"\x89PNG\r\n\x1a\n")
    _chunk(stream, b"IHDR", struct.pack(">IIBBBBB", width, height, 16, COLOUR_TYPES[channels], 0, 0, 0))
    if icc:
        _chunk(stream, b"iCCP", b"ICC Profile\0\0" + zlib.compress(icc))
    if dpi:
        across, down = (round(value / 0.0254) for value in dpi)
        _chunk(stream, b"pHYs", struct.pack(">IIB", across, down, 1))
    if exif:
        _chunk(stream, b"eXIf", exif)
    compressor = zlib.compressobj(COMPRESSION_LEVEL, strategy=zlib.Z_FILTERED)
    rows = max(1, BAND_BYTES // (width * channels * 2))
    above = np.zeros((1, width * channels * 2), np.uint8)
    for top in range(0, height, rows):
        band = np.concatenate([part[top : top + rows] for part in pixels], axis=2)
        raw = band.astype(">u2").reshape(len(band), -1).view(np.uint8)
        _chunk(stream, b"IDAT", compressor.compress(_filtered(raw, above, channels * 2)))
        above = raw[-1:]
    _chunk(stream, b"IDAT", compressor.flush())
    _chunk(stream, b"IEND", b"")


def _filtered(raw: npt.NDArray[np.uint8], above: npt.NDArray[np.uint8], step: int) -> bytes:
    """Rows with their filter bytes: each row as its difference to the left or to the one above, whichever is smaller.

    The usual measure (PNG, 12.7): the sum of the differences taken as signed bytes.
    """
    left = raw.copy()
    left[:, step:] -= raw[:, :-step]
    upper = raw - np.concatenate((above, raw[:-1]))
    costs = [np.abs(difference.view(np.int8).astype(np.int16)).sum(axis=1) for difference in (left, upper)]
    vertical = costs[1] < costs[0]
    result = np.empty((raw.shape[0], raw.shape[1] + 1), np.uint8)
    result[:, 0] = np.where(vertical, UP, SUB)
    result[:, 1:] = left
    result[vertical, 1:] = upper[vertical]
    return result.tobytes()


def _chunk(stream: BinaryIO, kind: bytes, data: bytes) -> None:
    stream.write(struct.pack(">I", len(data)) + kind)
    stream.write(data)
    stream.write(struct.pack(">I", zlib.crc32(data, zlib.crc32(kind))))
