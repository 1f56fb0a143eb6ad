"""Converts Pillow images to pictures."""

import numpy as np
from PIL import Image, ImageOps

from img2img.errors import PictureError
from img2img.runtime.image import colour as colours
from img2img.runtime.image import decoding, metadata
from img2img.runtime.image.pictures import Picture

_DIRECT_MODES = ("1", "L", "LA", "RGB", "RGBA", "I;16", "I;16L", "I;16B", "I;16N")


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
