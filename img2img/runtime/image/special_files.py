"""Reads pipes and devices, which may be endless and may keep the reader waiting."""

import os
import select
import sys
from pathlib import Path

from img2img import threads
from img2img.errors import PictureError
from img2img.runtime.image import pillow

_BYTES_PER_PIXEL = 8  # four channels of 16 bits
_METADATA = 64 << 20  # bytes around the pixels
_PIECE = 1 << 20
_POLL = 200  # milliseconds between checks while waiting


def most_bytes(max_pixels: int) -> int:
    """The most bytes of a file with so many pixels."""
    return max_pixels * _BYTES_PER_PIXEL + _METADATA


def read(path: Path, max_pixels: int) -> bytes:
    """The content of a pipe or device. No more than its first bytes are read if they do not begin a picture.

    Raises:
        PictureError: it has more bytes than a picture of `max_pixels` pixels can have.
        KeyboardInterrupt: also in a Worker that should end.
        OSError: reading failed.
    """
    data = bytearray()
    # Otherwise opening would wait for a writer, and no signal would end that in a thread.
    with os.fdopen(os.open(path, os.O_RDONLY | getattr(os, "O_NONBLOCK", 0)), "rb", buffering=0) as file:
        while True:
            threads.check()
            if sys.platform != "win32" and not _is_ready(file.fileno()):
                continue
            piece = file.read(_PIECE)
            if piece is None:  # nothing has come yet
                continue
            data += piece
            is_picture = len(data) < pillow.HEAD_BYTES or pillow.identify(bytes(data[: pillow.HEAD_BYTES])) is not None
            if not piece or not is_picture:
                return bytes(data)
            if len(data) > most_bytes(max_pixels):
                raise PictureError(f"it does not end after {len(data):,} bytes; --max-pixels sets the limit")


def _is_ready(descriptor: int) -> bool:
    poll = select.poll()
    poll.register(descriptor, select.POLLIN)
    return bool(poll.poll(_POLL))
