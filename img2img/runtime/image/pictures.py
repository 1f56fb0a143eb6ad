"""Reads pictures with everything that is needed to write them again: pixels, transparency and metadata."""

import dataclasses
import math
import stat
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from io import BytesIO
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np
import numpy.typing as npt
from PIL import Image, ImageFile, ImageOps

from img2img.errors import PictureError
from img2img.runtime.image import (
    avif_boxes,
    colour_tags,
    decoding,
    exif,
    iptc,
    jpeg_checks,
    metadata,
    pillow,
    png_checks,
    png_chunks,
    special_files,
    xmp,
)
from img2img.runtime.image import colour as colours
from img2img.runtime.image.colour_tags import ColourTags
from img2img.runtime.image.depth import to_8_bits
from img2img.runtime.image.metadata import Metadata
from img2img.runtime.image.tiff_directory import BrokenDirectory
from img2img.text import shown

Pixels = npt.NDArray[Any]
Opener = Callable[[], BinaryIO]

_DIRECT_MODES = ("1", "L", "LA", "RGB", "RGBA", "I;16", "I;16L", "I;16B", "I;16N")
DEFAULT_MAX_PIXELS = 200_000_000  # 600 MB as 8-bit RGB: more than cameras produce, less than machines have


@dataclass(frozen=True, slots=True)
class Picture:
    """A still picture in memory. Its arrays may be read-only views: create new ones instead of changing them."""

    colour: Pixels
    """uint8 or uint16 [H, W, C], C = 1 (grey) or 3 (RGB); straight, not premultiplied; sRGB unless `icc` or
    `tags` differ."""
    alpha: Pixels | None = None
    """[H, W], of the same type as `colour`, 0 = transparent; None if the source has no alpha."""
    format: str = "PNG"
    """Pillow's name for the format of the source."""
    exif: bytes | None = None
    """`Exif\\0\\0` and a TIFF structure; the orientation has been applied, and its tag is 1."""
    icc: bytes | None = None
    """An ICC profile for the colour space of `colour`."""
    dpi: tuple[float, float] | None = None
    """Pixels per inch, horizontal and vertical."""
    notes: tuple[str, ...] = ()
    """What could not be preserved, as phrases for the user."""
    tags: ColourTags = field(default_factory=ColourTags)
    """What the source says about its colour space without an ICC profile."""
    metadata: Metadata = field(default_factory=Metadata)
    """XMP, IPTC, comments and texts."""
    jpeg_quality: int | None = None
    """Estimated quality of the source if it is a JPEG, 1 to 100; see `jpeg_quality.estimate`."""

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

    def stripped(self) -> "Picture":
        """The picture without anything but pixels and their colour space."""
        return dataclasses.replace(self, exif=None, dpi=None, metadata=Metadata())


def read(
    source: Path | BinaryIO,
    *,
    name: str | None = None,
    max_pixels: int = DEFAULT_MAX_PIXELS,
    first_frame: bool = False,
) -> Picture:
    """Read a PNG, JPEG, WebP, TIFF, BMP, GIF or (where Pillow has it) AVIF file.

    The EXIF orientation is applied. Grey stays grey; 1-bit pictures become grey; palettes, CMYK, YCbCr and Lab become
    RGB, CMYK by its ICC profile; a transparent colour becomes alpha. 16-bit PNG and TIFF stay 16-bit. A stream need not
    be seekable and is read to its end; errors call it `name`, or standard input.

    Raises PictureError if the file cannot be opened, is not a picture, is damaged or cut off, has more than
    `max_pixels` pixels (checked before decoding), or has several frames and `first_frame` is False. Further pictures in
    a phone's multi-picture JPEG, and thumbnails and masks of a TIFF, do not count as frames.
    """
    try:
        return _read(source, max_pixels, first_frame)
    except PictureError as error:
        raise PictureError(f"cannot read {name or shown(source)}: {error}") from error


def _read(source: Path | BinaryIO, max_pixels: int, first_frame: bool) -> Picture:
    """As `read`; errors do not name the file."""
    with _streams(source, max_pixels) as fresh:
        head = fresh().read(pillow.HEAD_BYTES)
        format = pillow.identify(head)
        if not head:
            raise PictureError("the file is empty (0 bytes)")
        if format is None:
            known = ", ".join(pillow.READABLE)
            kind = pillow.describe_unknown(head)
            raise PictureError(f"it is {kind}; supported formats are {known}")
        _check_size(pillow.size_of(head, format), max_pixels)
        if format == "TIFF":
            return _read_tiff(fresh, max_pixels, first_frame)
        chunks = png_chunks.read(fresh()) if format == "PNG" else png_chunks.Chunks()
        places, resources = iptc.in_jpeg(fresh()) if format == "JPEG" else (chunks.places, None)

        def opened() -> ImageFile.ImageFile:
            source: Any = pillow.Skipping(fresh(), places) if places else fresh()
            image = pillow.open_image(source, format)
            if format == "PNG":
                image.info["icc_profile"] = chunks.icc
            return image

        with pillow.reading(max_pixels):
            image = opened()
            frames = 1 if format == "JPEG" else getattr(image, "n_frames", 1)
            notes = _check_frames(frames, first_frame)
            _check_size(image.size, max_pixels)
            # Pillow composes the frames of an animated PNG in 8 bits.
            shallow = "it is animated" if frames > 1 else ""
            watch = jpeg_checks.Watch(image, fresh()) if format == "JPEG" else None
            decoded = decoding.decode(image, opened, shallow=shallow)
            if format == "PNG":
                png_checks.check(fresh(), image)
            if watch is not None and (damage := watch.note()) is not None:
                notes.append(damage)
        decoded.notes[:0] = [*notes, *chunks.notes]
        block = None
        if format == "PNG":
            about, block = metadata.from_png(chunks, decoded.notes)
        elif format == "JPEG":
            segments = image.applist  # type: ignore[attr-defined]  # of Pillow's JPEG plugin
            about = metadata.from_jpeg(segments, resources, decoded.notes)
        else:
            about = metadata.from_info(image.info, decoded.notes)
        block = _exif_of(image.info.get("exif") or block, decoded.notes)
        tags = _tags_of(decoded, format, chunks, fresh)
        quality = None
        if format == "JPEG":
            from img2img.runtime.image import jpeg_quality

            quality = jpeg_quality.estimate(image)
    # EXIF takes precedence over XMP (Metadata Working Group guidelines 2.0). AVIF has an orientation of its own.
    turn = None if block is None else exif.orientation(block)
    if turn is None and about.xmp is not None and format != "AVIF":
        turn = xmp.orientation(about.xmp)
    if turn is not None and turn != 1:
        decoded.colour = _upright(decoded.colour, turn)
        decoded.alpha = None if decoded.alpha is None else _upright(decoded.alpha, turn)
        block = None if block is None else exif.upright(block)
    return _picture(decoded, format, block, image, about, tags, quality)


def picture_of(image: Image.Image) -> Picture:
    """Convert a Pillow image, turned upright according to its EXIF. Modes F and I are not supported.

    Raises:
        PictureError: the image has such a mode.
    """
    image = given = ImageOps.exif_transpose(image)
    icc = image.info.get("icc_profile") or None
    if image.mode in ("F", "I"):
        raise PictureError(f"a Pillow image of mode {image.mode} has no known range: convert it to L, I;16 or RGB")
    if image.mode == "La":  # Pillow can only convert it to LA
        image = image.convert("LA")
    if image.mode == "CMYK" and icc is not None and colours.space(icc) == "CMYK":
        image = colours.to_srgb(image, icc) or image
    if image.mode not in _DIRECT_MODES or "transparency" in image.info:
        image = image.convert("RGBA" if image.has_transparency_data else "RGB")
    if image.mode == "1":
        image = image.convert("L")
    pixels = np.asarray(image)
    if pixels.dtype.kind == "u" and pixels.dtype.itemsize == 2:
        pixels = pixels.astype(np.uint16)  # in this machine's byte order
    pixels = pixels[..., None] if pixels.ndim == 2 else pixels
    channels = pixels.shape[2]
    alpha = pixels[..., -1] if channels in (2, 4) else None
    info = given.info
    decoded = decoding.Decoded(np.ascontiguousarray(pixels[..., : channels - (alpha is not None)]))
    decoding.settle_profile(decoded, icc, given)
    return Picture(
        colour=decoded.colour,
        alpha=None if alpha is None else np.ascontiguousarray(alpha),
        exif=info.get("exif"),
        icc=decoded.icc,
        dpi=info.get("dpi"),
        metadata=metadata.from_info(info, decoded.notes).upright(),
        notes=tuple(decoded.notes),
    )


def image_of(picture: Picture) -> Image.Image:
    """A Pillow image of mode L, LA, RGB or RGBA, or I;16 for 16-bit grey without alpha. Other 16-bit becomes 8-bit.

    Raises:
        PictureError: the picture is HDR, which a Pillow image cannot say.
    """
    if picture.tags.hdr is not None and picture.icc is None:
        hdr = picture.tags.hdr
        raise PictureError(f"it is HDR ({hdr}), which a Pillow image cannot say; img2img.batch writes files")
    colour, alpha = picture.colour, picture.alpha
    if colour.dtype == np.uint16 and (colour.shape[2] == 3 or alpha is not None):
        colour = to_8_bits(colour)
        alpha = None if alpha is None else to_8_bits(alpha)
    pixels = colour if alpha is None else np.concatenate((colour, alpha[..., None]), axis=2)
    image = Image.fromarray(np.ascontiguousarray(pixels[..., 0] if pixels.shape[2] == 1 else pixels))
    about = picture.metadata.fitted(*picture.size)
    kept = {
        "exif": picture.exif,
        "icc_profile": picture.icc or picture.tags.profile(grey=colour.shape[2] == 1),
        "dpi": picture.dpi,
        "xmp": about.xmp,
        "comment": b"\n".join(about.comments) or None,
    }
    image.info.update({key: value for key, value in kept.items() if value is not None})
    return image


def _read_tiff(fresh: Opener, max_pixels: int, first_frame: bool) -> Picture:
    from img2img.runtime.image import tiff_checks, tiff_reading

    try:
        tiff = tiff_reading.inspect(fresh())
    except BrokenDirectory as error:
        raise PictureError(f"the file is damaged or cut off ({error})") from error
    if tiff.raw:
        raise PictureError("it is a camera raw file; develop it to TIFF or JPEG first")
    notes = _check_frames(tiff.pages, first_frame)

    def opened() -> ImageFile.ImageFile:
        if tiff.sixteen_bits and tiff.separate_planes:
            return tiff_reading.LibtiffTiff(fresh())
        return pillow.open_image(fresh(), "TIFF")

    if tiff.floating:
        raise PictureError("its pixels are floating-point numbers; save it with 16 or 8 bits")
    if tiff.compression not in tiff_reading.COMPRESSIONS:
        raise PictureError(f"its compression ({tiff.compression}) is unknown; save it with another")
    with pillow.reading(max_pixels):
        image: ImageFile.ImageFile
        if tiff.sixteen_bit_grey_alpha:
            image = special = tiff_reading.GreyAlphaTiff(fresh())
            _check_size(image.size, max_pixels)
            decoded = decoding.split(special.samples())
            decoding.settle_profile(decoded, image.info.get("icc_profile"), image)
            if decoded.alpha is not None and tiff.extra == tiff_reading.ASSOCIATED_ALPHA:
                decoded.colour = decoding.unpremultiply(decoded.colour, decoded.alpha)
        else:
            image = opened()
            _check_size(image.size, max_pixels)
            shallow = "its channels are stored in separate planes" if tiff.separate_planes else ""
            decoded = decoding.decode(image, opened, shallow=shallow)
        decoded.notes += tiff_checks.check(fresh(), tiff)
    if tiff.white_is_zero and decoded.colour.dtype == np.uint16:  # Pillow only inverts 8-bit pictures
        decoded.colour = np.uint16(65535) - decoded.colour
    if tiff.extra == 0 and decoded.colour.dtype == np.uint16:
        decoded.alpha = None  # an unspecified extra channel is not alpha; Pillow drops it in 8-bit pictures
    decoded.notes[:0] = notes
    # Pillow has already turned the pixels, because the orientation is one of TIFF's own tags.
    about = metadata.from_tiff(tiff.page, decoded.notes)
    return _picture(decoded, "TIFF", exif.from_tiff(tiff.page, tiff.order), image, about, ColourTags())


def _picture(
    decoded: decoding.Decoded,
    format: str,
    block: bytes | None,
    image: ImageFile.ImageFile,
    about: Metadata,
    tags: ColourTags,
    jpeg_quality: int | None = None,
) -> Picture:
    return Picture(
        colour=np.ascontiguousarray(decoded.colour),
        alpha=None if decoded.alpha is None else np.ascontiguousarray(decoded.alpha),
        format=format,
        exif=block,
        icc=decoded.icc,
        tags=tags,
        dpi=_dpi_of(image),
        metadata=about.upright(),
        notes=tuple(decoded.notes),
        jpeg_quality=jpeg_quality,
    )


def _tags_of(decoded: decoding.Decoded, format: str, chunks: png_chunks.Chunks, fresh: Opener) -> ColourTags:
    """The colour tags of a file. Pixels of narrow range are expanded."""
    if format == "PNG":
        tags, narrow = colour_tags.from_png(chunks.tags, decoded.notes)
        if narrow:
            decoded.colour = colour_tags.full_range(decoded.colour)
        return tags
    if format != "AVIF":
        return ColourTags()
    found = avif_boxes.read(fresh())
    if found.bits > 8:
        decoded.notes.append(f"{found.bits} bits were read as 8")
    if found.gain_map:
        decoded.notes.append(metadata.GAIN_MAP_NOTE)
    return colour_tags.from_nclx(found.primaries, found.transfer, with_icc=decoded.icc is not None)


@contextmanager
def _streams(source: Path | BinaryIO, max_pixels: int) -> Iterator[Opener]:
    """A function that returns the file from its beginning as a seekable stream, each time it is called.

    max_pixels: limits what is read from a pipe or device.
    """
    with ExitStack() as stack:
        try:
            if isinstance(source, Path) and stat.S_ISREG(source.stat().st_mode):
                first = stack.enter_context(source.open("rb"))
                unused = [first]
                yield lambda: unused.pop() if unused else stack.enter_context(source.open("rb"))
                return
            # A pipe can only be read once.
            data = special_files.read(source, max_pixels) if isinstance(source, Path) else source.read()
        except OSError as error:
            raise PictureError(f"{error.strerror or error}") from error
        yield lambda: BytesIO(data)


def _check_size(size: tuple[int, int] | None, max_pixels: int) -> None:
    if size is not None and size[0] * size[1] > max_pixels:
        raise pillow.too_large(size, max_pixels)


def _check_frames(frames: int, first_frame: bool) -> list[str]:
    if frames <= 1:
        return []
    if not first_frame:
        raise PictureError(f"it has {frames} frames; --first-frame uses the first one")
    return [f"only the first of {frames} frames was read"]


def _exif_of(block: bytes | None, notes: list[str]) -> bytes | None:
    try:
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
    # Pillow reports 1 if a TIFF has no resolution.
    return (across, down) if all(math.isfinite(value) and 1 < value < 1e6 for value in (across, down)) else None


def _upright(pixels: Pixels, orientation: int) -> Pixels:
    """Turn [H, W, ...] from the camera's orientation to the viewer's (EXIF 2.32, 4.6.4, orientation)."""
    if orientation >= 5:
        pixels = pixels.swapaxes(0, 1)
    # Orientation -> whether to mirror rows and columns.
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
