"""Recognises picture files by their first bytes and opens them with Pillow.

Pillow only tries the recognised format. No other decoder processes an untrusted file (EPS starts Ghostscript!), and the
plugins of other formats need not be imported. Opening has limits, no warnings, and one type of error.
"""

import functools
import logging
import math
import re
import struct
import threading
import warnings
import zlib
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from importlib import import_module
from typing import Any, BinaryIO, cast

from PIL import Image, ImageFile

from img2img.errors import PictureError, TooManyPixels

logging.getLogger("PIL").addHandler(logging.NullHandler())  # else its messages about odd files go to stderr

HEAD_BYTES = 64

READABLE = ("PNG", "JPEG", "WebP", "TIFF", "BMP", "AVIF", "GIF")

_PLUGINS = {
    "PNG": "PngImagePlugin",
    "JPEG": "JpegImagePlugin",
    "WEBP": "WebPImagePlugin",
    "TIFF": "TiffImagePlugin",
    "BMP": "BmpImagePlugin",
    "GIF": "GifImagePlugin",
    "AVIF": "AvifImagePlugin",
}

# Exceptions that Pillow's decoders raise for broken files: OSError, and anything that their parsers may raise.
DECODER_ERRORS = (
    OSError,
    EOFError,
    SyntaxError,
    ValueError,
    TypeError,
    ArithmeticError,
    LookupError,
    AttributeError,
    AssertionError,
    RuntimeError,
    struct.error,
    zlib.error,
)

# Pillow's words for intact files of a kind that it does not support.
_UNSUPPORTED = re.compile(r"cannot handle|unknown pixel mode|unsupported|not supported", re.IGNORECASE)

# Pillow's limits and warning filters are global. These variables count the threads that change them and hold the
# original values, which the last thread restores.
_lock = threading.Lock()
_limits: list[int] = []  # pixel limits of all current readers
_original_limit: int | None = None
_filters: "warnings.catch_warnings[None] | None" = None
_libtiff_original: int | None = None  # libtiff's error handler
_quiet_blocks = 0  # number of threads inside `quiet`


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


def size_of(head: bytes, name: str) -> tuple[int, int] | None:
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


def available(name: str) -> bool:
    """Whether Pillow was built with the format (AVIF and WebP are optional). Imports its plugin."""
    try:
        plugin = import_module(f"PIL.{_PLUGINS[name]}")
    except ModuleNotFoundError:
        return False
    return bool(getattr(plugin, "SUPPORTED", True))


def open_image(stream: BinaryIO, name: str) -> ImageFile.ImageFile:
    """Parse the header of a seekable stream in the format `name`. The pixels are decoded later, by `load()`.

    Unlike Image.open, this imports one plugin instead of five, which makes a cold start noticeably faster.
    """
    if not available(name):
        raise PictureError(f"this Pillow was built without {name}: pip install --upgrade pillow")
    stream.seek(0)
    factory = Image.OPEN[name][0]
    return factory(stream, "")


class Skipping:
    """A stream for Pillow's parsers, which read chunk by chunk: it skips some chunks.

    Args:
        places: where a chunk to skip starts -> where it ends.
    """

    def __init__(self, stream: BinaryIO, places: Mapping[int, int]) -> None:
        self._stream, self._places = stream, places
        self.seek, self.tell, self.close = stream.seek, stream.tell, stream.close

    def read(self, size: int = -1) -> bytes:
        while (end := self._places.get(self._stream.tell())) is not None:
            self._stream.seek(end)
        return self._stream.read(size)


@contextmanager
def reading(max_pixels: int) -> Iterator[None]:
    """Convert Pillow's exceptions to PictureError, and apply our limits instead of Pillow's.

    Pillow warns above 89 megapixels and refuses more than 179, process-wide. Here, the limit is a parameter. Pillow's
    check uses it, too, for sizes that appear only while decoding (frames of a GIF).
    """
    try:
        with quiet(), _pixel_limit(max_pixels):
            yield
    except Image.DecompressionBombError as error:
        raise too_large(None, max_pixels) from error
    except MemoryError as error:
        raise PictureError("not enough memory to decode it") from error
    except DECODER_ERRORS as error:
        if isinstance(error, OSError) and error.errno is not None:  # of the system; Pillow's own have no number
            raise PictureError(f"{error.strerror}") from error
        reason = _reason(error)
        if _UNSUPPORTED.search(reason):
            what = f"this kind of file is not supported ({reason}); save it as 8-bit RGB"
        else:
            what = f"the file is damaged or cut off ({reason})"
        raise PictureError(f"{what}") from error


def check_size(size: tuple[int, int] | None, max_pixels: int) -> None:
    """Raise PictureError for a picture of more than `max_pixels` pixels. size: None if it is not known yet."""
    if size is not None and size[0] * size[1] > max_pixels:
        raise too_large(size, max_pixels)


def check_frames(frames: int, first_frame: bool) -> list[str]:
    """Notes on a file with this number of frames. Raises PictureError for an animation, unless `first_frame`."""
    if frames <= 1:
        return []
    if not first_frame:
        raise PictureError(f"it has {frames} frames; --first-frame uses the first one")
    return [f"only the first of {frames} frames was read"]


def resolution(image: Image.Image) -> tuple[float, float] | None:
    """Pixels per inch, horizontal and vertical, of an opened picture; None if the file has none."""
    found = image.info.get("dpi")
    if not isinstance(found, tuple) or len(found) != 2:
        return None
    try:
        across, down = float(found[0]), float(found[1])
    except (TypeError, ValueError, ZeroDivisionError):
        return None
    # Pillow reports 1 if a TIFF has no resolution.
    return (across, down) if all(math.isfinite(value) and 1 < value < 1e6 for value in (across, down)) else None


def too_large(size: tuple[int, int] | None, max_pixels: int) -> TooManyPixels:
    """The error for a picture of more than `max_pixels` pixels; `size` is None if only Pillow knows it."""
    what = f"{size[0]} x {size[1]} pixels" if size else "a part of it"
    return TooManyPixels(f"{what} is more than the limit of {max_pixels:,} pixels; raise it with --max-pixels")


def save(image: Image.Image, stream: BinaryIO, format: str, **options: Any) -> None:
    """Encode an image to a stream. Raises OSError if the stream cannot take all bytes.

    Pillow's encoders write to a file descriptor if they find one, and ignore that a full disk cuts their writes short.
    So they get the stream without its descriptor.
    """
    with quiet():
        image.save(cast(BinaryIO, _WithoutDescriptor(stream)), format, **options)


class _WithoutDescriptor:
    """A stream that has all that Pillow's encoders use, but no `fileno`."""

    def __init__(self, stream: BinaryIO) -> None:
        self.read, self.write, self.seek, self.tell = stream.read, stream.write, stream.seek, stream.tell
        self.flush, self.truncate = stream.flush, stream.truncate


@contextmanager
def quiet() -> Iterator[None]:
    """Suppress warnings of Pillow (mostly about odd metadata) and libtiff, which prints them to stderr itself.

    Our own notes report what matters. Several threads may be inside this block.
    """
    global _quiet_blocks, _filters, _libtiff_original
    handler = _libtiff_handler()
    with _lock:
        if not _quiet_blocks:
            _filters = warnings.catch_warnings()
            _filters.__enter__()
            warnings.filterwarnings("ignore", module=r"PIL\.")
            _libtiff_original = handler(None)
        _quiet_blocks += 1
    try:
        yield
    finally:
        with _lock:
            _quiet_blocks -= 1
            if not _quiet_blocks and _filters is not None:
                _filters.__exit__(None, None, None)
                handler(_libtiff_original)


@functools.cache
def _libtiff_handler() -> Callable[[int | None], int | None]:
    """libtiff's TIFFSetErrorHandler: takes the address of a function or None, and returns that of the previous one."""
    import ctypes  # numpy has already imported it

    try:
        function = ctypes.CDLL(import_module("PIL._imaging").__file__).TIFFSetErrorHandler
    except (AttributeError, OSError):  # libtiff is linked into Pillow's library, and its functions are not exported
        return lambda _: None
    function.restype, function.argtypes = ctypes.c_void_p, (ctypes.c_void_p,)
    return function


@contextmanager
def _pixel_limit(limit: int) -> Iterator[None]:
    global _original_limit
    with _lock:
        if not _limits:
            _original_limit = Image.MAX_IMAGE_PIXELS
        _limits.append(limit)
        Image.MAX_IMAGE_PIXELS = max(_limits)
    try:
        yield
    finally:
        with _lock:
            _limits.remove(limit)
            Image.MAX_IMAGE_PIXELS = max(_limits) if _limits else _original_limit


def _reason(error: BaseException) -> str:
    text = " ".join(str(error).split())
    return f"{text[:120]}" if text else type(error).__name__


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
