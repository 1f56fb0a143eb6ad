"""Encodes a JPEG in bands of rows (ITU-T T.81), because Pillow needs a copy of all pixels that it encodes at once.

Each band becomes a restart interval. Decoders start anew at its beginning, so the compressed bands can follow one
another. JPEG encodes each block by itself, so the pixels are exactly those of a JPEG that is encoded at once.
"""

import struct
from collections.abc import Callable
from typing import BinaryIO

MOST_UNITS = 65535  # a restart interval has at most so many
FRAME, RESTART_INTERVAL, SCAN = 0xFFC0, 0xFFDD, 0xFFDA
RESTARTS = [bytes((0xFF, 0xD0 + number)) for number in range(8)]  # these markers take turns
END = b"\xff\xd9"


def write(stream: BinaryIO, size: tuple[int, int], unit: int, encode: Callable[[int, int], bytes]) -> None:
    """Write a JPEG of more than MOST_UNITS units. Beside the pixels, memory holds one band.

    Args:
        size: width and height.
        unit: side of the squares that JPEG encodes together: 8, or 16 if colour has half the resolution.
        encode: returns a baseline JPEG of the rows from a first one to before a last one. Metadata comes from the
            first band.
    """
    width, height = size
    units = -(-width // unit)
    unit_rows = MOST_UNITS // units
    rows = unit_rows * unit
    for number, top in enumerate(range(0, height, rows)):
        head, scan, pixels = _parts(encode(top, min(top + rows, height)), height)
        if number == 0:
            stream.write(head + struct.pack(">HHH", RESTART_INTERVAL, 4, units * unit_rows) + scan)
        else:
            stream.write(RESTARTS[(number - 1) % len(RESTARTS)])
        stream.write(pixels)
    stream.write(END)


def _parts(jpeg: bytes, height: int) -> tuple[bytes, bytes, bytes]:
    """What precedes the scan, with another height; the scan's header; the compressed pixels."""
    position = 2
    while True:
        marker, length = struct.unpack_from(">HH", jpeg, position)
        end = position + 2 + length
        if marker == FRAME:
            place = position + 5  # behind marker, length and precision
            jpeg = jpeg[:place] + struct.pack(">H", height) + jpeg[place + 2 :]
        if marker == SCAN:
            return jpeg[:position], jpeg[position:end], jpeg[end : -len(END)]
        position = end
