"""Writes pictures to image files. Converts what a format cannot hold."""

import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from io import BytesIO
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np
from PIL import Image

from img2img.atomic import atomic
from img2img.errors import PictureError
from img2img.runtime.image import colour as colours
from img2img.runtime.image import exif as exifs
from img2img.runtime.image import jpeg_bands, pillow
from img2img.runtime.image.bands import BandEncoder
from img2img.runtime.image.depth import over_white, to_8_bits
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

MAX_JPEG_EXIF = 65533


@dataclass(frozen=True, slots=True)
class _Format:
    """The capabilities and limits of a format."""

    shown: str
    suffix: str
    largest_side: int
    alpha: bool = True
    deep: bool = False
    grey: bool = True
    metadata: bool = True


# The sides are the encoders' limits: libjpeg's is below JPEG's own 65535.
_FORMATS = {
    "PNG": _Format("PNG", "png", 2**31 - 1, deep=True),
    "JPEG": _Format("JPEG", "jpg", 65500, alpha=False),
    "WEBP": _Format("WebP", "webp", 16383, grey=False),
    "TIFF": _Format("TIFF", "tif", 2**31 - 1, deep=True),
    "BMP": _Format("BMP", "bmp", 2**31 - 1, alpha=False, metadata=False),
    "AVIF": _Format("AVIF", "avif", 65536),
}
_NAMES = {**{suffix[1:].upper(): name for suffix, name in SUFFIXES.items()}, **{name: name for name in _FORMATS}}


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

    Returns:
        Notes for the user on what the format cannot hold. For JPEG and BMP, alpha is composited over white. For all
        formats but PNG and TIFF, 16 bits are rounded to 8. BMP stores neither EXIF nor an ICC profile.

    Raises:
        PictureError: the format is unknown or too small for the picture, or the target cannot be written.
    """
    options: dict[str, Any] = {"name": name, "format": format, "quality": quality}
    with open_writer(picture, target, **options, finished=finished, threads=threads) as writer:
        pass
    return writer.notes


class Writer:
    """Writes a picture while its rows are computed.

    Attributes:
        notes: the notes that `write` returns. They are complete after the block of `open_writer`.
    """

    def __init__(self, encoder: BandEncoder[Any] | None, name: str) -> None:
        self._encoder = encoder
        self._name = name
        self.notes: tuple[str, ...] = ()

    def rows_ready(self, count: int) -> None:
        """Declare the first `count` rows of the picture final. PNG and TIFF start to compress them.

        Call it from one thread at a time. It does not block.

        Raises:
            PictureError: the target cannot be written.
        """
        if self._encoder is not None:
            with _reported(self._name):
                self._encoder.rows_ready(count)


@contextmanager
def open_writer(
    picture: Picture,
    target: Path | BinaryIO,
    *,
    name: str | None = None,
    format: str | None = None,
    quality: int | None = None,
    finished: Callable[[BinaryIO], None] | None = None,
    threads: int | None = None,
) -> Iterator[Writer]:
    """Write a picture while the block fills its arrays. For arguments and errors see `write`.

        canvas = np.empty((height, width, 3), np.uint8)
        with open_writer(Picture(canvas), path) as writer:
            for bottom in fill_rows_of(canvas):
                writer.rows_ready(bottom)

    The file appears at the end of the block. An exception in the block passes through, and the file does not appear.
    """
    name = name or shown(target, "standard output")
    chosen = _chosen(format, target, picture, name)
    if quality is not None and not 1 <= quality <= 100:
        raise PictureError(f"cannot write {name}: the quality is {quality}, it can be 1 to 100")
    if max(picture.size) > (limit := _FORMATS[chosen].largest_side):
        width, height = picture.size
        raise PictureError(
            f"cannot write {name}: {width} x {height} pixels, but {_FORMATS[chosen].shown} ends at a side of {limit};"
            " write PNG instead"
        )
    with _stream(target, name) as stream:
        if chosen in _ENCODERS:
            fitting, notes = _fit(picture, chosen)  # these formats hold everything, so this reads no pixels
            with _reported(name):
                encoder = _ENCODERS[chosen](fitting, stream, threads)
            writer = Writer(encoder, name)
            try:
                yield writer
                with _reported(name):
                    encoder.finish()
            finally:
                encoder.abort()
        else:
            writer = Writer(None, name)
            yield writer
            fitting, notes = _fit(picture, chosen)
            with _reported(name):
                _SAVERS[chosen](fitting, stream, quality)
        writer.notes = notes
        if finished is not None:
            finished(stream)


@contextmanager
def _stream(target: Path | BinaryIO, name: str) -> Iterator[BinaryIO]:
    """Open a readable and seekable stream. Its content reaches the target at the end of the block."""
    if isinstance(target, Path):
        with atomic(target) as stream:
            yield stream
        return
    buffer = BytesIO()
    yield buffer
    try:
        target.write(buffer.getbuffer())
        target.flush()
    except OSError as error:
        raise PictureError(f"cannot write {name}: {error.strerror or error}") from error


def _chosen(format: str | None, target: Path | BinaryIO, picture: Picture, name: str) -> str:
    if format is None:
        chosen = format_for(target) if isinstance(target, Path) else picture.format
        chosen = chosen if chosen in _FORMATS else "PNG"
    elif format.upper() in _NAMES:
        chosen = _NAMES[format.upper()]
    else:
        known = ", ".join(entry.suffix for entry in _FORMATS.values())
        raise PictureError(f"cannot write {name}: {format} is no format that can be written; use one of {known}")
    if chosen in ("AVIF", "WEBP") and not pillow.available(chosen):
        raise PictureError(f"cannot write {name}: this Pillow was built without {chosen}: pip install --upgrade pillow")
    return chosen


def _fit(picture: Picture, chosen: str) -> tuple[Picture, tuple[str, ...]]:
    """Convert the picture to what the format can hold. Returns it with notes on the losses."""
    can = _FORMATS[chosen]
    notes = []
    colour, alpha, icc, exif = picture.colour, picture.alpha, picture.icc, picture.exif
    if alpha is not None and not can.alpha:
        if (alpha != np.iinfo(alpha.dtype).max).any():
            colour = over_white(colour, alpha)
            notes.append(f"transparency laid over white: {can.shown} has none")
        alpha = None
    if colour.dtype == np.uint16 and not can.deep:
        colour = to_8_bits(colour)
        alpha = None if alpha is None else to_8_bits(alpha)
        notes.append(f"16 bits per channel reduced to 8: {can.shown} is written with 8")
    if colour.shape[2] == 1 and (not can.grey or (chosen == "AVIF" and alpha is not None)):
        colour, icc, note = _grey_as_rgb(colour, icc, can.shown)
        notes += note
    if exif is not None:
        exif = exifs.fitted(exif, *picture.size)
        if chosen == "JPEG" and len(exif) > MAX_JPEG_EXIF:
            exif = None
            notes.append("EXIF left out: JPEG has room for 64 KB of it")
    if not can.metadata and (exif or icc):
        colour, converted = _without_profile(colour, icc)
        exif = icc = None
        notes.append(f"{converted}EXIF and ICC profile left out: {can.shown} has no place for them")
    return replace(picture, colour=colour, alpha=alpha, icc=icc, exif=exif), tuple(notes)


def _grey_as_rgb(colour: Any, icc: bytes | None, format: str) -> tuple[Any, bytes | None, list[str]]:
    """Convert grey to three channels. A grey profile is applied to them instead of attached."""
    if icc is not None and colours.space(icc) == "GRAY":
        converted = colours.grey_to_srgb(colour[..., 0], icc)
        if converted is not None:
            note = f"grey converted to sRGB by its ICC profile: {format} has no grey"
            return np.repeat(converted[..., None], 3, axis=2), None, [note]
        return np.repeat(colour, 3, axis=2), None, ["the ICC profile is damaged and was left out"]
    return np.repeat(colour, 3, axis=2), icc, []


def _without_profile(colour: Any, icc: bytes | None) -> tuple[Any, str]:
    """Convert 8-bit colours to sRGB, the default without a profile. Returns them with the start of a note."""
    converted = None
    if icc is not None and colour.shape[2] == 3:
        image = colours.to_srgb(Image.fromarray(np.ascontiguousarray(colour)), icc)
        converted = None if image is None else np.asarray(image)
    elif icc is not None and colours.space(icc) == "GRAY":
        plane = colours.grey_to_srgb(colour[..., 0], icc)
        converted = None if plane is None else plane[..., None]
    return (colour, "") if converted is None else (converted, "colours converted to sRGB; ")


@contextmanager
def _reported(name: str) -> Iterator[None]:
    """Turn encoder errors into a PictureError that names the file."""
    try:
        yield
    except PictureError as error:
        raise PictureError(f"cannot write {name}: {error}") from error
    except MemoryError as error:
        raise PictureError(f"cannot write {name}: not enough memory to encode it") from error
    except (OSError, ValueError, RuntimeError) as error:  # the disk is full, or a Pillow encoder fails
        reason = (error.strerror if isinstance(error, OSError) else None) or error
        raise PictureError(f"cannot write {name}: {reason}") from error


def _png(picture: Picture, stream: BinaryIO, threads: int | None) -> PngEncoder:
    exif = picture.exif and picture.exif.removeprefix(exifs.PREFIX)
    return PngEncoder(stream, _channels(picture), icc=picture.icc, exif=exif, dpi=picture.dpi, threads=threads)


def _tiff(picture: Picture, stream: BinaryIO, threads: int | None) -> TiffEncoder:
    options: dict[str, Any] = {"icc": picture.icc, "exif": picture.exif, "dpi": picture.dpi}
    return TiffEncoder(stream, _channels(picture), **options, threads=threads)


def _jpeg(picture: Picture, stream: BinaryIO, quality: int | None) -> None:
    quality = quality or JPEG_QUALITY
    sampling, unit = ("4:4:4", 8) if quality >= FULL_COLOUR_FROM else ("4:2:0", 16)

    def encode(top: int, bottom: int) -> bytes:
        band, buffer = replace(picture, colour=picture.colour[top:bottom]), BytesIO()
        if top:
            band = replace(band, exif=None, icc=None)
        _save(band, buffer, "JPEG", quality=quality, subsampling=sampling, dpi=picture.dpi)
        return buffer.getvalue()

    jpeg_bands.write(stream, picture.size, 8 if picture.colour.shape[2] == 1 else unit, encode)


def _webp(picture: Picture, stream: BinaryIO, quality: int | None) -> None:
    quality = quality or WEBP_QUALITY
    if quality == 100:
        # "exact" also keeps the colour of transparent pixels.
        _save(picture, stream, "WEBP", lossless=True, exact=True, method=2, quality=WEBP_LOSSLESS_EFFORT)
    else:
        _save(picture, stream, "WEBP", quality=quality, method=4)


def _avif(picture: Picture, stream: BinaryIO, quality: int | None) -> None:
    quality = quality or AVIF_QUALITY
    grey = picture.colour.shape[2] == 1
    sampling = "4:0:0" if grey else "4:4:4" if quality >= FULL_COLOUR_FROM else "4:2:0"
    # Pillow rewrites the EXIF block to move AVIF's orientation out of it. That would break maker notes.
    bare = replace(picture, exif=picture.exif and exifs.without_orientation(picture.exif))
    _save(bare, stream, "AVIF", quality=quality, subsampling=sampling, speed=AVIF_SPEED)


def _bmp(picture: Picture, stream: BinaryIO, quality: int | None) -> None:
    _save(picture, stream, "BMP", dpi=picture.dpi)


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
_SAVERS: dict[str, Callable[[Picture, BinaryIO, int | None], None]] = {
    "JPEG": _jpeg,
    "WEBP": _webp,
    "BMP": _bmp,
    "AVIF": _avif,
}
