"""Whether a PNG is whole, as libpng would ask and Pillow does not (PNG, third edition, W3C 2025).

Pillow is content with a file that ends before its end or whose compressed rows end early, and does not look at the
checksums of pixels. So a damaged file would pass for a picture whose lower part is black.
"""

import struct
import zlib
from typing import BinaryIO

import numpy as np
from PIL import ImageFile

_PIECE = 1 << 20
_BITS = {0: 1, 2: 3, 3: 1, 4: 2, 6: 4}  # colour type -> samples a pixel
# Adam7's passes: first column and row, steps to the next.
_PASSES = ((0, 0, 8, 8), (4, 0, 8, 8), (0, 4, 4, 8), (2, 0, 4, 4), (0, 2, 2, 4), (1, 0, 2, 2), (0, 1, 1, 2))


def check(stream: BinaryIO, image: ImageFile.ImageFile) -> None:
    """Raise ValueError for the PNG in a seekable stream that is not whole; `image` is what Pillow has decoded of it.

    Checksums cost about a millisecond a megabyte. The compressed rows are unpacked once more, and counted, only where
    the last one is black or transparent, which is how Pillow leaves missing ones, and in interlaced pictures.
    """
    stream.seek(8)
    inflate = zlib.decompressobj()
    missing = 0  # bytes of filtered rows
    while True:
        head = stream.read(8)
        length, kind = struct.unpack(">I4s", head) if len(head) == 8 else (0, b"")
        sum_of_bytes = zlib.crc32(kind)
        header = b""
        while length:
            piece = stream.read(min(length, _PIECE))
            if not piece:
                break
            length -= len(piece)
            sum_of_bytes = zlib.crc32(piece, sum_of_bytes)
            header = piece
            if kind == b"IDAT" and missing > 0:
                missing -= _unpacked(inflate, piece)
        tail = stream.read(4)
        if length or len(tail) < 4:
            raise ValueError("it ends before its last part")
        if kind[:1].isupper() and int.from_bytes(tail, "big") != sum_of_bytes:
            raise ValueError(f"the checksum of {kind.decode('ascii', 'replace')} is wrong")
        if kind == b"IHDR":
            missing = _expected(header, image)
        if kind == b"IEND":
            break
    if missing > 0:
        raise ValueError("rows are missing at its end")


def _expected(header: bytes, image: ImageFile.ImageFile) -> int:
    """How many bytes the rows have with their filters; 0 where they need not be counted."""
    width, height, depth, colour, _, _, interlaced = struct.unpack(">IIBBBBB", header[:13])
    if not interlaced and np.asarray(image.crop((0, height - 1, width, height))).any():
        return 0
    total = 0
    for left, top, across, down in _PASSES if interlaced else ((0, 0, 1, 1),):
        columns, rows = -(-(width - left) // across), -(-(height - top) // down)
        if columns > 0 and rows > 0:
            total += rows * (1 + (columns * depth * _BITS[colour] + 7) // 8)
    return total


def _unpacked(inflate: "zlib._Decompress", piece: bytes) -> int:
    """How many bytes come out of the next piece of the stream."""
    count = 0
    while piece and not inflate.eof:
        count += len(inflate.decompress(piece, _PIECE))
        piece = inflate.unconsumed_tail
    return count
