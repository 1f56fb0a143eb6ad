"""Reading a picture so that it can be written again: pixels, transparency, and what the file says about them."""

import math
import stat
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from io import BytesIO
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np
import numpy.typing as npt
from PIL import ImageFile

from img2img.errors import PictureError
from img2img.runtime.image import decoding, deep, exif, pillow, png_checks, sniff
from img2img.runtime.image.ifd import BrokenDirectory
from img2img.text import shown

Pixels = npt.NDArray[Any]
Opener = Callable[[], BinaryIO]

DEFAULT_MAX_PIXELS = 200_000_000  # 600 MB as 8-bit RGB: more than any camera gives, less than a machine has


@dataclass(frozen=True, slots=True)
class Picture:
    """A still picture in memory. The arrays may be read-only views; make new ones instead of writing into them."""

    colour: Pixels
    """uint8 or uint16 [H, W, C], C = 1 (grey) or 3 (RGB); straight, not premultiplied; sRGB, or what `icc` says."""
    alpha: Pixels | None = None
    """The type of `colour`, [H, W], 0 = transparent; None where the source has none."""
    format: str = "PNG"
    """Pillow's name of the source's format."""
    exif: bytes | None = None
    """`Exif\\0\\0` and a TIFF structure; the orientation is applied and its tag says 1."""
    icc: bytes | None = None
    """An ICC profile, for the colour space that `colour` has."""
    dpi: tuple[float, float] | None = None
    """Pixels per inch, horizontal and vertical."""
    notes: tuple[str, ...] = ()
    """What could not be kept, each a phrase for a person."""

    def __post_init__(self) -> None:
        colour, alpha = self.colour, self.alpha
        if colour.ndim != 3 or colour.shape[2] not in (1, 3) or colour.dtype not in (np.uint8, np.uint16):
            raise ValueError(f"colour is {colour.dtype}{list(colour.shape)}, not uint8 or uint16 [H, W, 1 or 3]")
        if not colour.size:
            raise ValueError(f"a picture of {colour.shape[1]} x {colour.shape[0]} pixels")
        if alpha is not None and (alpha.shape != colour.shape[:2] or alpha.dtype != colour.dtype):
            raise ValueError(f"alpha is {alpha.dtype}{list(alpha.shape)}, colour {colour.dtype}{list(colour.shape)}")

    @property
    def size(self) -> tuple[int, int]:
        """Width and height in pixels."""
        return self.colour.shape[1], self.colour.shape[0]


def read(source: Path | BinaryIO, *, max_pixels: int = DEFAULT_MAX_PIXELS, first_frame: bool = False) -> Picture:
    """Read a PNG, JPEG, WebP, TIFF, BMP, GIF or (where Pillow has it) AVIF file.

    The EXIF orientation is applied. Grey stays grey; 1-bit pictures become grey; palettes, CMYK, YCbCr and Lab become
    RGB, CMYK by its ICC profile; a transparent colour becomes alpha. 16-bit PNG and TIFF stay 16-bit. A stream need not
    be seekable and is read to its end.

    Raises PictureError for what cannot be opened, is no picture, is damaged or cut off, has more than `max_pixels`
    pixels (checked before anything is decoded), or has several frames unless `first_frame`. The second and further
    pictures of a phone's multi-picture JPEG, and thumbnails and masks of a TIFF, are no frames.
    """
    name = shown(source)
    with _streams(source, name) as fresh:
        stream = fresh()
        head = stream.read(sniff.HEAD_BYTES)
        format = sniff.identify(head)
        if not head:
            raise PictureError(f"cannot read {name}: the file is empty (0 bytes)")
        if format is None:
            known = ", ".join(sniff.READABLE)
            raise PictureError(f"cannot read {name}: it is {sniff.stranger(head)}; pictures can be {known}")
        _check_size(name, sniff.size(head, format), max_pixels)
        if format == "TIFF":
            return _read_tiff(fresh, name, max_pixels, first_frame)
        with pillow.reading(name, format, max_pixels):
            image = pillow.open_image(stream, format)
            frames = 1 if format == "JPEG" else getattr(image, "n_frames", 1)
            notes = _check_frames(name, frames, first_frame)
            _check_size(name, image.size, max_pixels)
            # Frames of an animated PNG are put together by Pillow in 8 bits.
            shallow = "it is animated" if frames > 1 else ""
            decoded = decoding.decode(image, lambda: pillow.open_image(fresh(), format), name, shallow=shallow)
            if format == "PNG":
                png_checks.check(fresh(), image)
        decoded.notes[:0] = notes
        gamma = image.info.get("gamma")
        if format == "PNG" and gamma and abs(gamma * 2.2 - 1) > 0.02 and not decoded.icc and "srgb" not in image.info:
            decoded.notes.append(f"its gamma ({gamma:g}) is not known to other formats and was left out")
        block = _exif_of(image, decoded.notes)
    if block is not None:
        turn = exif.orientation(block)
        if turn != 1:
            decoded.colour = _upright(decoded.colour, turn)
            decoded.alpha = None if decoded.alpha is None else _upright(decoded.alpha, turn)
            block = exif.upright(block)
    return _picture(decoded, format, block, image)


def _read_tiff(fresh: Opener, name: str, max_pixels: int, first_frame: bool) -> Picture:
    from img2img.runtime.image import tiff_reading

    try:
        tiff = tiff_reading.inspect(fresh())
    except BrokenDirectory as error:
        raise PictureError(f"cannot read {name}: the file is damaged or cut off ({error})") from error
    if tiff.raw:
        raise PictureError(f"cannot read {name}: it is a camera raw file; develop it to TIFF or JPEG first")
    notes = _check_frames(name, tiff.pages, first_frame)

    def opened() -> ImageFile.ImageFile:
        if tiff.sixteen_bits and tiff.separate_planes:
            return tiff_reading.LibtiffTiff(fresh())
        return pillow.open_image(fresh(), "TIFF")

    if tiff.floating:
        raise PictureError(f"cannot read {name}: its pixels are floating-point numbers; save it with 16 or 8 bits")
    if tiff.compression not in tiff_reading.COMPRESSIONS:
        raise PictureError(f"cannot read {name}: its compression ({tiff.compression}) is unknown; save it with another")
    with pillow.reading(name, "TIFF", max_pixels):
        image: ImageFile.ImageFile
        if tiff.deep_grey_alpha:
            image = special = tiff_reading.GreyAlphaTiff(fresh())
            _check_size(name, image.size, max_pixels)
            decoded = decoding.split(special.samples())
            decoding.settle_profile(decoded, image.info.get("icc_profile"), image)
            if decoded.alpha is not None and tiff.extra == tiff_reading.ASSOCIATED_ALPHA:
                decoded.colour = deep.unpremultiply(decoded.colour, decoded.alpha)
        else:
            image = opened()
            _check_size(name, image.size, max_pixels)
            shallow = "its channels are stored in separate planes" if tiff.separate_planes else ""
            decoded = decoding.decode(image, opened, name, shallow=shallow)
    if tiff.white_is_zero and decoded.colour.dtype == np.uint16:  # Pillow turns the 8-bit ones only
        decoded.colour = np.uint16(65535) - decoded.colour
    if tiff.extra == 0 and decoded.colour.dtype == np.uint16:
        decoded.alpha = None  # an extra channel of unspecified meaning is no alpha; Pillow drops the 8-bit ones
    decoded.notes[:0] = notes
    # Pillow has turned the pixels already: TIFF knows the orientation as one of its own tags.
    return _picture(decoded, "TIFF", exif.from_tiff(tiff.page, tiff.order), image)


def _picture(decoded: decoding.Decoded, format: str, block: bytes | None, image: ImageFile.ImageFile) -> Picture:
    return Picture(
        colour=np.ascontiguousarray(decoded.colour),
        alpha=None if decoded.alpha is None else np.ascontiguousarray(decoded.alpha),
        format=format,
        exif=block,
        icc=decoded.icc,
        dpi=_dpi_of(image),
        notes=tuple(decoded.notes),
    )


@contextmanager
def _streams(source: Path | BinaryIO, name: str) -> Iterator[Opener]:
    """A function that gives the file from its beginning, each time it is called, as a seekable stream."""
    with ExitStack() as stack:
        try:
            if isinstance(source, Path) and stat.S_ISREG(source.stat().st_mode):
                first = stack.enter_context(source.open("rb"))
                unused = [first]
                yield lambda: unused.pop() if unused else stack.enter_context(source.open("rb"))
                return
            # A pipe can be read only once.
            data = source.read_bytes() if isinstance(source, Path) else source.read()
        except OSError as error:
            raise PictureError(f"cannot read {name}: {error.strerror or error}") from error
        yield lambda: BytesIO(data)


def _check_size(name: str, size: tuple[int, int] | None, max_pixels: int) -> None:
    if size is not None and size[0] * size[1] > max_pixels:
        raise pillow.too_large(name, size, max_pixels)


def _check_frames(name: str, frames: int, first_frame: bool) -> list[str]:
    if frames <= 1:
        return []
    if not first_frame:
        raise PictureError(f"cannot read {name}: it has {frames} frames; --first-frame takes the first of them")
    return [f"the first of {frames} frames"]


def _exif_of(image: ImageFile.ImageFile, notes: list[str]) -> bytes | None:
    block = image.info.get("exif")
    try:
        if not block and "Raw profile type exif" in image.info:
            # How ImageMagick kept EXIF in PNG before there was a chunk for it: three lines, then hexadecimal digits.
            block = bytes.fromhex("".join(image.info["Raw profile type exif"].split("\n")[3:]))
        return exif.normalised(block) if block else None
    except ValueError:  # BrokenDirectory is one
        notes.append("the EXIF block is damaged and was left out")
        return None


def _dpi_of(image: ImageFile.ImageFile) -> tuple[float, float] | None:
    found = image.info.get("dpi")
    if not isinstance(found, tuple) or len(found) != 2:
        return None
    try:
        across, down = float(found[0]), float(found[1])
    except (TypeError, ValueError, ZeroDivisionError):
        return None
    # Pillow says 1 where a TIFF says nothing.
    return (across, down) if all(math.isfinite(value) and 1 < value < 1e6 for value in (across, down)) else None


def _upright(pixels: Pixels, orientation: int) -> Pixels:
    """Turn [H, W, ...] from how a camera stored it to how it is looked at (EXIF 2.32, 4.6.4, orientation)."""
    if orientation >= 5:
        pixels = pixels.swapaxes(0, 1)
    # What is left to mirror, by orientation: rows, columns.
    rows, columns = {
        2: (False, True),
        3: (True, True),
        4: (True, False),
        5: (False, False),
        6: (False, True),
        7: (True, True),
        8: (True, False),
    }[orientation]
    return pixels[:: -1 if rows else 1, :: -1 if columns else 1]
