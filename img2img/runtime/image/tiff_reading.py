"""Reads TIFF files where Pillow needs help: unsupported layouts, the number of pages, and camera raw files."""

import sys
from dataclasses import dataclass
from typing import BinaryIO

import numpy as np
import numpy.typing as npt
from PIL import TiffImagePlugin

from img2img.runtime.image import decoding
from img2img.runtime.image.tiff_directory import BrokenDirectory, Ifd, Order, Reader

SUBFILE_TYPE, BITS, COMPRESSION, PHOTOMETRIC, SAMPLES, PLANES = 254, 258, 259, 262, 277, 284
SUB_PICTURES, EXTRA, SAMPLE_FORMAT, DNG_VERSION = 330, 338, 339, 50706
UNCOMPRESSED, ADOBE_DEFLATE, FLOATING = 1, 8, 3
COMPRESSIONS = frozenset(TiffImagePlugin.COMPRESSION_INFO)
WHITE_IS_ZERO, RGB_COLOUR = 0, 2
ASSOCIATED_ALPHA, STRAIGHT_ALPHA = 1, 2
SEPARATE_PLANES = 2
REDUCED, MASK = 1, 4  # bits of SUBFILE_TYPE for pages that are not separate pictures


@dataclass(frozen=True, slots=True)
class Tiff:
    """The directories of a TIFF file."""

    page: Ifd  # the first page
    order: Order
    pages: int  # number of pages, without thumbnails and masks

    @property
    def raw(self) -> bool:
        """Whether it is a camera raw file (DNG, NEF, ARW...), where Pillow would decode a thumbnail or mosaic data."""
        return DNG_VERSION in self.page.entries or bool(self._first(SUBFILE_TYPE) & REDUCED and self.has(SUB_PICTURES))

    @property
    def compression(self) -> int:
        return self._first(COMPRESSION) or UNCOMPRESSED

    @property
    def floating(self) -> bool:
        return self._first(SAMPLE_FORMAT) == FLOATING

    @property
    def white_is_zero(self) -> bool:
        return self.has(PHOTOMETRIC) and self._first(PHOTOMETRIC) == WHITE_IS_ZERO

    @property
    def separate_planes(self) -> bool:
        return self._first(PLANES) == SEPARATE_PLANES and self._first(SAMPLES) > 1

    @property
    def sixteen_bits(self) -> bool:
        return self._first(BITS) == 16

    @property
    def sixteen_bit_grey_alpha(self) -> bool:
        """Whether it is 16-bit grey with one extra channel."""
        grey = self.has(PHOTOMETRIC) and self._first(PHOTOMETRIC) in (0, 1)
        return grey and self.sixteen_bits and self._first(SAMPLES) == 2 and not self.separate_planes

    @property
    def extra(self) -> int | None:
        """The meaning of the first extra channel: 0 unspecified, ASSOCIATED_ALPHA (premultiplied) or STRAIGHT_ALPHA."""
        return self._first(EXTRA) if self.has(EXTRA) else None

    def has(self, tag: int) -> bool:
        return tag in self.page.entries

    def _first(self, tag: int) -> int:
        values = self.page.numbers(tag, self.order)
        return values[0] if values else 0


def inspect(stream: BinaryIO) -> Tiff:
    """Read the directories of a seekable TIFF file. Raises BrokenDirectory if the first one is damaged."""
    reader = Reader(stream)
    chain = reader.chain()
    first = next(chain, None)
    if first is None:
        raise BrokenDirectory("the file contains no picture")
    pages = 1
    try:
        for page in chain:
            kind = page.numbers(SUBFILE_TYPE, reader.header.order)
            pages += not (kind and kind[0] & (REDUCED | MASK))
    except BrokenDirectory:
        pass  # the first page is still readable, and a damaged chain has no further pages
    return Tiff(first, reader.header.order, pages)


class LibtiffTiff(TiffImagePlugin.TiffImageFile):
    """A TIFF that libtiff decodes even if it is not compressed.

    Libtiff supports 16 bits in separate planes, which Pillow's own decoder mixes up, and returns samples in native byte
    order. It reads the tags from the file itself, so changing Pillow's tags does not affect it.
    """

    def _setup(self) -> None:
        if self.tag_v2.get(COMPRESSION, UNCOMPRESSED) == UNCOMPRESSED:
            self.tag_v2[COMPRESSION] = ADOBE_DEFLATE
        super()._setup()


class GreyAlphaTiff(LibtiffTiff):
    """A TIFF with 16-bit grey and alpha, which is missing in Pillow's table of layouts.

    Pillow treats it as 8-bit RGBA, which has the same number of bytes per pixel, and passes the bytes through.
    """

    def _setup(self) -> None:
        self.tag_v2[BITS] = (8, 8, 8, 8)
        self.tag_v2[PHOTOMETRIC] = RGB_COLOUR
        self.tag_v2[SAMPLES] = 4
        self.tag_v2[EXTRA] = (STRAIGHT_ALPHA,)
        super()._setup()

    def samples(self) -> npt.NDArray[np.uint16]:
        """Decode: [H, W, 2]."""
        return decoding.decode_pairs(self, sys.byteorder == "big")
