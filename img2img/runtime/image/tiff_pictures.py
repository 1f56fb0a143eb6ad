"""Decodes TIFF files: of every layout that libtiff can read, with 16 bits if they have them."""

from collections.abc import Callable
from typing import BinaryIO

import numpy as np
from PIL import ImageFile

from img2img.errors import PictureError
from img2img.runtime.image import decoding, exif, metadata, pillow, tiff_checks, tiff_reading
from img2img.runtime.image.decoding import Decoded
from img2img.runtime.image.tiff_directory import BrokenDirectory


def read(fresh: Callable[[], BinaryIO], max_pixels: int, *, first_frame: bool) -> Decoded:
    """Decode a TIFF. `fresh` returns it as a seekable stream, from its beginning.

    Raises:
        PictureError: as `pictures.read`.
    """
    try:
        tiff = tiff_reading.inspect(fresh())
    except BrokenDirectory as error:
        raise PictureError(f"the file is damaged or cut off ({error})") from error
    if tiff.raw:
        raise PictureError("it is a camera raw file; develop it to TIFF or JPEG first")
    notes = pillow.check_frames(tiff.pages, first_frame)

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
            pillow.check_size(image.size, max_pixels)
            decoded = decoding.split(special.samples())
            decoding.settle_profile(decoded, image.info.get("icc_profile"), image)
            if decoded.alpha is not None and tiff.extra == tiff_reading.ASSOCIATED_ALPHA:
                decoded.colour = decoding.unpremultiply(decoded.colour, decoded.alpha)
        else:
            image = opened()
            pillow.check_size(image.size, max_pixels)
            shallow = "its channels are stored in separate planes" if tiff.separate_planes else ""
            decoded = decoding.decode(image, opened, shallow=shallow)
        decoded.notes += tiff_checks.check(fresh(), tiff)
    if tiff.white_is_zero and decoded.colour.dtype == np.uint16:  # Pillow only inverts 8-bit pictures
        decoded.colour = np.uint16(65535) - decoded.colour
    if tiff.extra == 0 and decoded.colour.dtype == np.uint16:
        decoded.alpha = None  # an unspecified extra channel is not alpha; Pillow drops it in 8-bit pictures
    decoded.notes[:0] = notes
    decoded.exif = exif.from_tiff(tiff.page, tiff.order)
    decoded.metadata = metadata.from_tiff(tiff.page, decoded.notes)
    decoded.dpi = pillow.resolution(image)
    return decoded
