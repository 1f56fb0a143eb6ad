"""Opening a file with Pillow: one decoder, bounded, quiet, and with one kind of error."""

import functools
import re
import struct
import threading
import warnings
import zlib
from collections.abc import Callable, Iterator
from contextlib import contextmanager, nullcontext
from importlib import import_module
from typing import BinaryIO

from PIL import Image, ImageFile

from img2img.errors import PictureError

_PLUGINS = {
    "PNG": "PngImagePlugin",
    "JPEG": "JpegImagePlugin",
    "WEBP": "WebPImagePlugin",
    "TIFF": "TiffImagePlugin",
    "BMP": "BmpImagePlugin",
    "GIF": "GifImagePlugin",
    "AVIF": "AvifImagePlugin",
}

# What Pillow's decoders let through when a file is broken: besides OSError, whatever their parsing stumbles over.
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

# Pillow's words for files that are whole, and of a kind that it does not know.
_UNKNOWN_KIND = re.compile(r"cannot handle|unknown pixel mode|unsupported|not supported", re.IGNORECASE)

MAX_TEXT = 64 << 20
"""Bytes that a compressed text or ICC profile of a PNG may unpack to. Pillow refuses pictures with more than 1 MiB in
one, and some programs keep whole workflows in theirs; all texts of a file together it bounds to the same 64 MiB."""

_lock = threading.Lock()
_limits: list[int] = []  # of the readings under way
_pillows_limit: int | None = None
_pngs = 0  # readings of PNG under way
_pillows_text = 0
_filters: "warnings.catch_warnings[None] | None" = None
_libtiffs: int | None = None  # its own handler of errors
_depth = 0  # how many are inside `quiet`


def available(name: str) -> bool:
    """Whether this Pillow was built with the format (AVIF and WebP are options); imports its plugin."""
    try:
        plugin = import_module(f"PIL.{_PLUGINS[name]}")
    except ModuleNotFoundError:
        return False
    return bool(getattr(plugin, "SUPPORTED", True))


def open_image(stream: BinaryIO, name: str) -> ImageFile.ImageFile:
    """Parse the header of a seekable stream as the format `name`; pixels are decoded later, by `load()`.

    Unlike Image.open this imports one plugin instead of five, which a cold start notices.
    """
    if not available(name):
        raise PictureError(f"this Pillow was built without {name}: pip install --upgrade pillow")
    stream.seek(0)
    factory = Image.OPEN[name][0]
    return factory(stream, "")


@contextmanager
def reading(name: str, format: str, max_pixels: int) -> Iterator[None]:
    """Turn what Pillow raises for the file `name` into PictureError, and its limits and warnings into ours meanwhile.

    Pillow warns from 89 megapixels on and refuses from 179, process-wide; here the limit is a parameter. Its check
    stays in force as the second line behind ours, for sizes that show up only while decoding (frames of a GIF).
    """
    try:
        with quiet(), _bounded(max_pixels), _long_texts() if format == "PNG" else nullcontext():
            yield
    except Image.DecompressionBombError as error:
        raise too_large(name, None, max_pixels) from error
    except MemoryError as error:
        raise PictureError(f"cannot read {name}: not enough memory to decode it") from error
    except DECODER_ERRORS as error:
        reason = _reason(error)
        if _UNKNOWN_KIND.search(reason):
            what = f"it is of a kind that cannot be read ({reason}); save it as 8-bit RGB"
        else:
            what = f"the file is damaged or cut off ({reason})"
        raise PictureError(f"cannot read {name}: {what}") from error


def too_large(name: str, size: tuple[int, int] | None, max_pixels: int) -> PictureError:
    """The error for a picture of more than `max_pixels` pixels; `size` None where only Pillow knows it."""
    what = f"{size[0]} x {size[1]} pixels" if size else "a part of it"
    return PictureError(
        f"cannot read {name}: {what} is more than the limit of {max_pixels:,} pixels; raise it with --max-pixels"
    )


@contextmanager
def quiet() -> Iterator[None]:
    """Keep Pillow's warnings (odd metadata, mostly) from stderr; ours say what matters. Threads may overlap in it.

    So with what libtiff complains of, which it prints there itself, past Python.
    """
    global _depth, _filters, _libtiffs
    handler = _libtiff_handler()
    with _lock:
        if not _depth:
            _filters = warnings.catch_warnings()
            _filters.__enter__()
            warnings.filterwarnings("ignore", module=r"PIL\.")
            _libtiffs = handler(None)
        _depth += 1
    try:
        yield
    finally:
        with _lock:
            _depth -= 1
            if not _depth and _filters is not None:
                _filters.__exit__(None, None, None)
                handler(_libtiffs)


@functools.cache
def _libtiff_handler() -> Callable[[int | None], int | None]:
    """libtiff's TIFFSetErrorHandler: takes the address of a function or None, and returns that of the one before."""
    import ctypes  # numpy has imported it

    try:
        function = ctypes.CDLL(import_module("PIL._imaging").__file__).TIFFSetErrorHandler
    except (AttributeError, OSError):  # libtiff is inside of Pillow's library, and cannot be got at
        return lambda _: None
    function.restype, function.argtypes = ctypes.c_void_p, (ctypes.c_void_p,)
    return function


@contextmanager
def _bounded(limit: int) -> Iterator[None]:
    global _pillows_limit
    with _lock:
        if not _limits:
            _pillows_limit = Image.MAX_IMAGE_PIXELS
        _limits.append(limit)
        Image.MAX_IMAGE_PIXELS = max(_limits)
    try:
        yield
    finally:
        with _lock:
            _limits.remove(limit)
            Image.MAX_IMAGE_PIXELS = max(_limits) if _limits else _pillows_limit


@contextmanager
def _long_texts() -> Iterator[None]:
    global _pngs, _pillows_text
    from PIL import PngImagePlugin

    with _lock:
        if not _pngs:
            _pillows_text, PngImagePlugin.MAX_TEXT_CHUNK = PngImagePlugin.MAX_TEXT_CHUNK, MAX_TEXT
        _pngs += 1
    try:
        yield
    finally:
        with _lock:
            _pngs -= 1
            if not _pngs:
                PngImagePlugin.MAX_TEXT_CHUNK = _pillows_text


def _reason(error: BaseException) -> str:
    text = " ".join(str(error).split())
    return f"{text[:120]}" if text else type(error).__name__
