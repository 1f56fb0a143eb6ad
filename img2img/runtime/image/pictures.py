"""Reads pictures with everything that is needed to write them again: pixels, transparency and metadata.

JPEGs are decoded here, most of them without any conversion; other modules know the other formats.
"""

import dataclasses
import stat
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from io import BytesIO
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np
import numpy.typing as npt
from PIL import Image, ImageFile

from img2img.errors import NotAPicture, PictureError, TooManyPixels
from img2img.runtime.image import colour as colours
from img2img.runtime.image import decoding, exif, iptc, jpeg_checks, metadata, pillow, special_files, xmp
from img2img.runtime.image.colour_tags import NO_TAGS, PQ, ColourTags
from img2img.runtime.image.decoding import Decoded
from img2img.runtime.image.depth import to_8_bits
from img2img.runtime.image.metadata import NO_METADATA, Metadata
from img2img.text import shown

Pixels = npt.NDArray[Any]
Opener = Callable[[], BinaryIO]

DEFAULT_MAX_PIXELS = 200_000_000  # 600 MB as 8-bit RGB: more than cameras produce, less than machines have
_TELLING = {"APP1", "APP2", "APP11", "COM"}  # segments that may hold XMP, gain maps, credentials and comments


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
    tags: ColourTags = NO_TAGS
    """What the source says about its colour space without an ICC profile."""
    metadata: Metadata = NO_METADATA
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

    @property
    def is_pq(self) -> bool:
        """Whether the colours are encoded with PQ, which is HDR, by the tags or by the ICC profile."""
        named = self.tags.cicp or (colours.cicp(self.icc) if self.icc else None)
        return named is not None and named[1] == PQ

    def stripped(self) -> "Picture":
        """The picture without anything but pixels and their colour space."""
        return dataclasses.replace(self, exif=None, dpi=None, metadata=NO_METADATA)


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
        kind = type(error) if isinstance(error, NotAPicture | TooManyPixels) else PictureError
        path = str(source) if isinstance(source, Path) else None
        raise kind(f"cannot read {name or shown(source)}: {error}", path=path) from error


def _read(source: Path | BinaryIO, max_pixels: int, first_frame: bool) -> Picture:
    """As `read`; errors do not name the file."""
    with _streams(source, max_pixels) as fresh:
        head = fresh().read(pillow.HEAD_BYTES)
        format = pillow.identify(head)
        if not head:
            raise NotAPicture("the file is empty (0 bytes)")
        if format is None:
            from img2img.runtime.image import other_files

            known = ", ".join(pillow.READABLE)
            raise NotAPicture(f"it is {other_files.describe(head)}; supported formats are {known}")
        pillow.check_size(pillow.size_of(head, format), max_pixels)
        if format == "JPEG":
            decoded = _read_jpeg(fresh, max_pixels)
        elif format == "TIFF":
            from img2img.runtime.image import tiff_pictures

            decoded = tiff_pictures.read(fresh, max_pixels, first_frame=first_frame)
        else:
            from img2img.runtime.image import other_pictures

            decoded = other_pictures.read(fresh, format, max_pixels, first_frame=first_frame)
    if format != "TIFF":  # Pillow has already turned its pixels, because the orientation is one of TIFF's own tags
        _turn_upright(decoded, format)
    about = decoded.metadata
    return Picture(
        colour=np.ascontiguousarray(decoded.colour),
        alpha=None if decoded.alpha is None else np.ascontiguousarray(decoded.alpha),
        format=format,
        exif=decoded.exif,
        icc=decoded.icc,
        dpi=decoded.dpi,
        notes=tuple(decoded.notes),
        tags=decoded.tags,
        metadata=about if about.xmp is None else about.upright(),
        jpeg_quality=decoded.jpeg_quality,
    )


def _read_jpeg(fresh: Opener, max_pixels: int) -> Decoded:
    from img2img.runtime.image import jpeg_quality

    places: dict[int, int] = {}
    resources = None
    if ours := [one for one in jpeg_checks.segments(fresh(), strict=True) if one.marker == jpeg_checks.APP13]:
        places, resources = iptc.in_jpeg(ours)

    def opened() -> ImageFile.ImageFile:
        source: Any = pillow.Skipping(fresh(), places) if places else fresh()
        return pillow.open_image(source, "JPEG")

    with pillow.reading(max_pixels):
        image = opened()
        pillow.check_size(image.size, max_pixels)
        watch = jpeg_checks.Watch(image, fresh())
        if image.mode == "RGB" and "icc_profile" not in image.info:
            image.load()
            decoded = Decoded(np.asarray(image))
        else:
            decoded = decoding.decode(image, opened)
        if (damage := watch.note()) is not None:
            decoded.notes.insert(0, damage)
    segments = image.applist  # type: ignore[attr-defined]  # of Pillow's JPEG plugin
    if resources is not None or not _TELLING.isdisjoint(name for name, _ in segments):
        decoded.metadata = metadata.from_jpeg(segments, resources, decoded.notes)
    if block := image.info.get("exif"):
        decoded.exif = exif.kept(block, decoded.notes)
    decoded.dpi = pillow.resolution(image)
    decoded.jpeg_quality = jpeg_quality.estimate(image)
    return decoded


def image_of(picture: Picture) -> Image.Image:
    """A Pillow image of mode L, LA, RGB or RGBA, or I;16 for 16-bit grey without alpha. Other 16-bit becomes 8-bit.

    Raises:
        PictureError: the picture is HDR, which a Pillow image cannot say.
    """
    hdr = None if picture.tags == NO_TAGS else picture.tags.hdr
    if hdr is not None and picture.icc is None:
        raise PictureError(f"it is HDR ({hdr}), which a Pillow image cannot say; img2img.batch writes files")
    colour, alpha = picture.colour, picture.alpha
    if colour.dtype == np.uint16 and (colour.shape[2] == 3 or alpha is not None):
        colour = to_8_bits(colour)
        alpha = None if alpha is None else to_8_bits(alpha)
    pixels = colour if alpha is None else np.concatenate((colour, alpha[..., None]), axis=2)
    image = Image.fromarray(np.ascontiguousarray(pixels[..., 0] if pixels.shape[2] == 1 else pixels))
    icc, about = picture.icc, picture.metadata
    if icc is None and picture.tags != NO_TAGS:
        icc = picture.tags.profile(grey=colour.shape[2] == 1)
    if about.xmp is not None:
        about = about.fitted(*picture.size)
    comment = b"\n".join(about.comments) or None
    kept = {"exif": picture.exif, "icc_profile": icc, "dpi": picture.dpi, "xmp": about.xmp, "comment": comment}
    image.info.update({key: value for key, value in kept.items() if value is not None})
    return image


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


def _turn_upright(decoded: Decoded, format: str) -> None:
    """Apply the orientation. EXIF takes precedence over XMP (Metadata Working Group guidelines 2.0)."""
    turn = None if decoded.exif is None else exif.orientation(decoded.exif)
    packet = decoded.metadata.xmp
    if turn is None and packet is not None and format != "AVIF":  # AVIF has an orientation of its own
        turn = xmp.orientation(packet)
    if turn is not None and turn != 1:
        decoded.colour = _upright(decoded.colour, turn)
        decoded.alpha = None if decoded.alpha is None else _upright(decoded.alpha, turn)
        decoded.exif = None if decoded.exif is None else exif.upright(decoded.exif)


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
