"""Converts Pillow images in memory to `Picture` and back. Files use `pictures` and `writing`, which preserve more."""

import numpy as np
from PIL import Image, ImageOps

from img2img.errors import PictureError
from img2img.runtime.image import colour as colours
from img2img.runtime.image import decoding
from img2img.runtime.image.depth import to_8_bits
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
        notes=tuple(decoded.notes),
    )


def image_of(picture: Picture) -> Image.Image:
    """A Pillow image of mode L, LA, RGB or RGBA, or I;16 for 16-bit grey without alpha. Other 16-bit becomes 8-bit."""
    colour, alpha = picture.colour, picture.alpha
    if colour.dtype == np.uint16 and (colour.shape[2] == 3 or alpha is not None):
        colour = to_8_bits(colour)
        alpha = None if alpha is None else to_8_bits(alpha)
    pixels = colour if alpha is None else np.concatenate((colour, alpha[..., None]), axis=2)
    image = Image.fromarray(np.ascontiguousarray(pixels[..., 0] if pixels.shape[2] == 1 else pixels))
    kept = {"exif": picture.exif, "icc_profile": picture.icc, "dpi": picture.dpi}
    image.info.update({key: value for key, value in kept.items() if value is not None})
    return image
