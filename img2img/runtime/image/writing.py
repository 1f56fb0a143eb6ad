"""Writes pictures to image files. Converts what a format cannot hold."""

import os
import struct
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from io import BytesIO
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np
from PIL import Image

from img2img.atomic import atomic
from img2img.errors import PictureError
from img2img.runtime.image import avif_boxes, jpeg_bands, pillow
from img2img.runtime.image import exif as exifs
from img2img.runtime.image.bands import BandEncoder
from img2img.runtime.image.colour_tags import NO_TAGS
from img2img.runtime.image.fitting import FORMATS, check_colour, fit
from img2img.runtime.image.metadata import NO_METADATA
from img2img.runtime.image.pictures import Picture
from img2img.runtime.image.png_writing import PngEncoder
from img2img.runtime.image.tiff_writing import TiffEncoder
from img2img.text import show, shown

SUFFIXES = {
    ".png": "PNG",
    ".jpg": "JPEG",
    ".jpeg": "JPEG",
    ".jpe": "JPEG",
    ".jfif": "JPEG",
    ".webp": "WEBP",
    ".tif": "TIFF",
    ".tiff": "TIFF",
    ".bmp": "BMP",
    ".avif": "AVIF",
}

JPEG_QUALITY, WEBP_QUALITY, AVIF_QUALITY = 95, 90, 80
FULL_COLOUR_FROM = 90  # from this quality on, chroma keeps its full resolution (4:4:4 instead of 4:2:0)
AVIF_SPEED = 8  # 1.5 to 2 times as fast as Pillow's 6; 1 % larger for a photo, 27 % for a smooth upscaled one
WEBP_LOSSLESS_EFFORT = 25  # with method 2: 0.3 s/MP; effort 50 and method 4 take 1.7 times as long for 1 %

_NAMES = {**{suffix[1:].upper(): name for suffix, name in SUFFIXES.items()}, **{name: name for name in FORMATS}}


def format_for(name: Path | str) -> str:
    """Return Pillow's name of the format for the suffix of a file name.

    Raises PictureError, which lists the suffixes, if that format cannot be written.
    """
    try:
        return _format_of_suffix(name)
    except PictureError as error:
        raise PictureError(f"cannot write {show(name)}: {error}") from error


def _format_of_suffix(name: Path | str) -> str:
    suffix = os.path.splitext(name)[1].lower()  # noqa: PTH122 - a name may be a URI
    if suffix in SUFFIXES:
        return SUFFIXES[suffix]
    what = f"unknown suffix {suffix}" if suffix else "the name has no suffix"
    if suffix == ".gif":
        what = "GIF holds 256 colours and is only read"
    raise PictureError(f"{what}; use one of {', '.join(SUFFIXES)}")


def write(
    picture: Picture,
    target: Path | BinaryIO,
    *,
    name: str | None = None,
    format: str | None = None,
    quality: int | None = None,
    finished: Callable[[BinaryIO], None] | None = None,
    threads: int | None = None,
    permissions: int | None = None,
) -> tuple[str, ...]:
    """Write a picture to a file or a stream. A file appears whole or not at all. A stream need not be seekable.

    Args:
        name: the name of a stream in errors. Default: standard output.
        format: "PNG", "jpg"... Default: the format of the file's suffix. For a stream, the format of the picture's
            source, or PNG if that format cannot be written.
        quality: 1 to 100, for JPEG (95), WebP (90; 100 is lossless) and AVIF (80).
        finished: called with the complete file, readable and seekable, before the file gets its name. If it raises,
            the exception passes through and the file does not appear.
        threads: number of threads that compress PNG and TIFF. Default: one per core, at most 8.
        permissions: mode bits of a new file; see `atomic`.

    Returns:
        Notes for the user on what the format cannot hold. For JPEG and BMP, alpha is composited over white. For all
        formats but PNG and TIFF, 16 bits are rounded to 8. Metadata for which the format has no place is named. Colour
        tags become an ICC profile.

    Raises:
        PictureError: the format is unknown, too small for the picture or cannot say that it is HDR, or the target
            cannot be written.
    """
    chosen = _chosen(format, target, picture, name)
    with _reported(target, name):
        if quality is not None and not 1 <= quality <= 100:
            raise PictureError(f"the quality is {quality}, it can be 1 to 100")
        if max(picture.size) > (limit := FORMATS[chosen].largest_side):
            size = f"{picture.size[0]} x {picture.size[1]} pixels"
            raise PictureError(f"{size}, but {FORMATS[chosen].shown} ends at a side of {limit}; write PNG instead")
        if picture.tags != NO_TAGS:
            check_colour(picture, chosen)
    with _stream(target, name, permissions) as stream:
        notes: tuple[str, ...] = ()
        if not _fits(picture, chosen):
            picture, notes = fit(picture, chosen)
        with _reported(target, name):
            if chosen in _ENCODERS:
                _ENCODERS[chosen](picture, stream, threads).write_all()
            else:
                notes += tuple(_SAVERS[chosen](picture, stream, quality))
        if finished is not None:
            finished(stream)
    return notes


def check(picture: Picture, target: Path | None, *, name: str | None, format: str | None) -> None:
    """Raise PictureError, before the work, for a result that `write` would refuse because of its colours.

    target: None for a stream. For the others see `write`.
    """
    with _reported(target, name):
        chosen = _chosen(format, target, picture, name)
        if picture.tags != NO_TAGS:
            check_colour(picture, chosen)


def _fits(picture: Picture, chosen: str) -> bool:
    """Whether the format can obviously hold all of a picture as it is, as most photos in 8-bit colour."""
    if picture.alpha is not None or picture.colour.dtype != np.uint8 or picture.colour.shape[2] != 3:
        return False
    if picture.exif is not None or picture.tags != NO_TAGS or (picture.icc and not FORMATS[chosen].metadata):
        return False
    return picture.metadata == NO_METADATA or picture.metadata.stays_in(chosen)


@contextmanager
def _stream(target: Path | BinaryIO, name: str | None, permissions: int | None) -> Iterator[BinaryIO]:
    """Open a readable and seekable stream. Its content reaches the target at the end of the block."""
    if isinstance(target, Path):
        with atomic(target, permissions) as stream:
            yield stream
        return
    buffer = BytesIO()
    yield buffer
    try:
        target.write(buffer.getbuffer())
        target.flush()
    except OSError as error:
        raise PictureError(f"cannot write {_shown(target, name)}: {error.strerror or error}") from error


def _chosen(format: str | None, target: Path | BinaryIO | None, picture: Picture, name: str | None) -> str:
    if format is None:
        chosen = format_for(target) if isinstance(target, Path) else picture.format
        chosen = chosen if chosen in FORMATS else "PNG"
    elif format.upper() in _NAMES:
        chosen = _NAMES[format.upper()]
    else:
        known = ", ".join(entry.suffix for entry in FORMATS.values())
        raise PictureError(f"cannot write {_shown(target, name)} as {format}: use one of {known}")
    if chosen in ("AVIF", "WEBP") and not pillow.available(chosen):
        hint = "pip install --upgrade pillow"
        raise PictureError(f"cannot write {_shown(target, name)}: this Pillow was built without {chosen}: {hint}")
    return chosen


def _shown(target: Path | BinaryIO | None, name: str | None) -> str:
    """What errors call the target."""
    return name or ("standard output" if target is None else shown(target, "standard output"))


@contextmanager
def _reported(target: Path | BinaryIO | None, name: str | None) -> Iterator[None]:
    """Turn encoder errors into a PictureError that names the file."""
    try:
        yield
    except PictureError as error:
        raise PictureError(f"cannot write {_shown(target, name)}: {error}") from error
    except MemoryError as error:
        raise PictureError(f"cannot write {_shown(target, name)}: not enough memory to encode it") from error
    except (OSError, ValueError, RuntimeError) as error:  # the disk is full, or a Pillow encoder fails
        reason = (error.strerror if isinstance(error, OSError) else None) or error
        raise PictureError(f"cannot write {_shown(target, name)}: {reason}") from error


def _png(picture: Picture, stream: BinaryIO, threads: int | None) -> PngEncoder:
    parts, exif = _channels(picture), picture.exif and picture.exif.removeprefix(exifs.PREFIX)
    channels, bits = sum(part.shape[2] for part in parts), 8 * picture.colour.dtype.itemsize
    tags = picture.tags.for_png(channels, bits, with_icc=picture.icc is not None)
    options: dict[str, Any] = {"icc": picture.icc, "exif": exif, "dpi": picture.dpi}
    return PngEncoder(stream, parts, **options, tags=tags, texts=picture.metadata.for_png(), threads=threads)


def _tiff(picture: Picture, stream: BinaryIO, threads: int | None) -> TiffEncoder:
    options: dict[str, Any] = {"icc": picture.icc, "exif": picture.exif, "dpi": picture.dpi}
    return TiffEncoder(stream, _channels(picture), **options, more=picture.metadata.for_tiff(), threads=threads)


def _jpeg(picture: Picture, stream: BinaryIO, quality: int | None) -> list[str]:
    quality = quality or JPEG_QUALITY
    sampling, unit = ("4:4:4", 8) if quality >= FULL_COLOUR_FROM else ("4:2:0", 16)
    metadata, notes = ({}, []) if picture.metadata == NO_METADATA else picture.metadata.for_jpeg()

    def encode(top: int, bottom: int) -> bytes:
        band, buffer = replace(picture, colour=picture.colour[top:bottom]), BytesIO()
        if top:
            band = replace(band, exif=None, icc=None)
        options = {} if top else metadata
        _save(band, buffer, "JPEG", quality=quality, subsampling=sampling, dpi=picture.dpi, **options)
        return buffer.getvalue()

    width, height = picture.size
    unit = 8 if picture.colour.shape[2] == 1 else unit
    if -(-width // unit) * -(-height // unit) <= jpeg_bands.MOST_UNITS:
        stream.write(encode(0, height))
    else:
        jpeg_bands.write(stream, picture.size, unit, encode)
    return notes


def _webp(picture: Picture, stream: BinaryIO, quality: int | None) -> list[str]:
    quality = quality or WEBP_QUALITY
    if quality == 100:
        # "exact" also keeps the colour of transparent pixels.
        options: dict[str, Any] = {"lossless": True, "exact": True, "method": 2, "quality": WEBP_LOSSLESS_EFFORT}
    else:
        options = {"quality": quality, "method": 4}
    _save(picture, stream, "WEBP", xmp=picture.metadata.xmp, **options)
    return []


def _avif(picture: Picture, stream: BinaryIO, quality: int | None) -> list[str]:
    quality = quality or AVIF_QUALITY
    grey = picture.colour.shape[2] == 1
    sampling = "4:0:0" if grey else "4:4:4" if quality >= FULL_COLOUR_FROM else "4:2:0"
    # Pillow rewrites the EXIF block to move AVIF's orientation out of it. That would break maker notes.
    bare = replace(picture, exif=picture.exif and exifs.without_orientation(picture.exif))
    options: dict[str, Any] = {"quality": quality, "subsampling": sampling, "speed": AVIF_SPEED}
    _save(bare, stream, "AVIF", xmp=picture.metadata.xmp, **options)
    if picture.tags.cicp is None:
        return []
    place = avif_boxes.read(stream).place  # Pillow always writes sRGB there
    if place is None:
        raise PictureError("this Pillow writes AVIF without a colour space; write PNG instead")
    stream.seek(place)
    stream.write(struct.pack(">HH", *picture.tags.cicp))
    return []


def _bmp(picture: Picture, stream: BinaryIO, quality: int | None) -> list[str]:
    _save(picture, stream, "BMP", dpi=picture.dpi)
    return []


def _save(picture: Picture, stream: BinaryIO, format: str, **options: Any) -> None:
    """Have Pillow encode an 8-bit picture."""
    pillow.available(format)  # imports only this plugin; otherwise Pillow imports all of them
    kept = {"exif": picture.exif, "icc_profile": picture.icc, **options}
    pillow.save(_image(picture), stream, format, **{key: value for key, value in kept.items() if value is not None})


def _image(picture: Picture) -> Image.Image:
    parts = _channels(picture)
    pixels = parts[0] if len(parts) == 1 else np.concatenate(parts, axis=2)
    return Image.fromarray(pixels[..., 0] if pixels.shape[2] == 1 else np.ascontiguousarray(pixels))


def _channels(picture: Picture) -> tuple[Any, ...]:
    return (picture.colour,) if picture.alpha is None else (picture.colour, picture.alpha[..., None])


_ENCODERS: dict[str, Callable[[Picture, BinaryIO, int | None], BandEncoder[Any]]] = {"PNG": _png, "TIFF": _tiff}
_SAVERS: dict[str, Callable[[Picture, BinaryIO, int | None], list[str]]] = {
    "JPEG": _jpeg,
    "WEBP": _webp,
    "BMP": _bmp,
    "AVIF": _avif,
}
