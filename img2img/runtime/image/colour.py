"""Converts colours to sRGB by their ICC profiles."""

import io
from functools import cache
from typing import Any

import numpy as np
import numpy.typing as npt
from PIL import Image

from img2img.runtime.image import icc

Pixels = npt.NDArray[Any]


def space(profile: bytes) -> str | None:
    """The colour space of an ICC profile ("RGB", "GRAY", "CMYK", "Lab"); None if the bytes are not a profile."""
    if len(profile) < icc.HEADER_BYTES or profile[36:40] != b"acsp":
        return None
    return profile[16:20].decode("ascii", "replace").strip()


def cicp(profile: bytes) -> tuple[int, int] | None:
    """Primaries and transfer (ITU-T H.273) that an ICC profile names (ICC.1:2022, 9.2.17); None if it names none."""
    count = int.from_bytes(profile[icc.HEADER_BYTES : icc.HEADER_BYTES + 4], "big")
    table = profile[icc.HEADER_BYTES + 4 :][: 12 * min(count, 100)]
    for at in range(0, len(table) - 11, 12):
        place = int.from_bytes(table[at + 4 : at + 8], "big")
        if table[at : at + 4] == b"cicp" and profile[place : place + 4] == b"cicp" and len(profile) >= place + 12:
            return profile[place + 8], profile[place + 9]
    return None


def to_srgb(image: Image.Image, profile: bytes) -> Image.Image | None:
    """Convert an RGB or CMYK picture to sRGB by its ICC profile; None if the profile does not work.

    Uses relative colorimetric intent with black point compensation, the default of image editors.
    """
    from PIL import ImageCms

    srgb: bytes = ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes()
    return _converted(image, profile, srgb, "RGB")


def grey_to_srgb(plane: Pixels, profile: bytes) -> Pixels | None:
    """Convert grey to the tone curve of sRGB by an ICC profile for grey; None if the profile does not work.

    plane: uint8 or uint16 [H, W]. Returns an array of the same type and shape.
    """
    image = Image.fromarray(np.ascontiguousarray(plane))
    converted = _converted(image, profile, _srgb_grey(), image.mode)
    return None if converted is None else np.asarray(converted).astype(plane.dtype)


def _converted(image: Image.Image, profile: bytes, target: bytes, mode: str) -> Image.Image | None:
    from PIL import ImageCms

    try:
        return ImageCms.profileToProfile(
            image,
            ImageCms.ImageCmsProfile(io.BytesIO(profile)),
            ImageCms.ImageCmsProfile(io.BytesIO(target)),
            renderingIntent=ImageCms.Intent.RELATIVE_COLORIMETRIC,
            outputMode=mode,
            flags=ImageCms.Flags.BLACKPOINTCOMPENSATION,
        )
    except (ImageCms.PyCMSError, OSError, ImportError):  # the profile is broken, or Pillow was built without littlecms
        return None


@cache
def _srgb_grey() -> bytes:
    """An ICC profile for grey with the curve of sRGB. Littlecms only has one for RGB."""
    return icc.grey(icc.srgb_light(icc.encoded_points()))
