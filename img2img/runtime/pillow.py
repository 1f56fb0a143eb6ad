"""Opening a file with Pillow: one decoder, bounded, quiet, and with one kind of error."""

import struct
import threading
import warnings
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
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

_lock = threading.Lock()
_limits: list[int] = []  # of the readings under way
_pillows_limit: int | None = None
_filters: "warnings.catch_warnings[None] | None" = None
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
def reading(name: str, max_pixels: int) -> Iterator[None]:
    """Turn what Pillow raises for the file `name` into PictureError, and its limit and warnings into ours meanwhile.

    Pillow warns from 89 megapixels on and refuses from 179, process-wide; here the limit is a parameter. Its check
    stays in force as the second line behind ours, for sizes that show up only while decoding (frames of a GIF).
    """
    try:
        with quiet(), _bounded(max_pixels):
            yield
    except Image.DecompressionBombError as error:
        raise too_large(name, None, max_pixels) from error
    except MemoryError as error:
        raise PictureError(f"cannot read {name}: not enough memory to decode it") from error
    except DECODER_ERRORS as error:
        raise PictureError(f"cannot read {name}: the file is damaged or cut off ({_reason(error)})") from error


def too_large(name: str, size: tuple[int, int] | None, max_pixels: int) -> PictureError:
    """The error for a picture of more than `max_pixels` pixels; `size` None where only Pillow knows it."""
    what = f"{size[0]} x {size[1]} pixels" if size else "a part of it"
    return PictureError(
        f"cannot read {name}: {what} is more than the limit of {max_pixels:,} pixels; raise it with --max-pixels"
    )


@contextmanager
def quiet() -> Iterator[None]:
    """Keep Pillow's warnings (odd metadata, mostly) from stderr; ours say what matters. Threads may overlap in it."""
    global _depth, _filters
    with _lock:
        if not _depth:
            _filters = warnings.catch_warnings()
            _filters.__enter__()
            warnings.filterwarnings("ignore", module=r"PIL\.")
        _depth += 1
    try:
        yield
    finally:
        with _lock:
            _depth -= 1
            if not _depth and _filters is not None:
                _filters.__exit__(None, None, None)


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


def _reason(error: BaseException) -> str:
    text = " ".join(str(error).split())
    return f"{text[:120]}" if text else type(error).__name__
