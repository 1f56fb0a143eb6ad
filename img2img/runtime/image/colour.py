"""Converts colours to sRGB by their ICC profiles."""

import io
import struct
from functools import cache
from typing import Any

import numpy as np
import numpy.typing as npt
from PIL import Image

Pixels = npt.NDArray[Any]

ICC_HEADER_BYTES = 128  # ICC.1:2022, 7.2


def space(profile: bytes) -> str | None:
    """The colour space of an ICC profile ("RGB", "GRAY", "CMYK", "Lab"); None if the bytes are not a profile."""
    if len(profile) < ICC_HEADER_BYTES or profile[36:40] != b"acsp":
        return None
    return profile[16:20].decode("ascii", "replace").strip()


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
    """Create an ICC profile for grey with the curve of sRGB (IEC 61966-2-1). Littlecms only has one for RGB."""
    encoded = np.linspace(0, 1, 4096)
    light = np.where(encoded <= 0.04045, encoded / 12.92, ((encoded + 0.055) / 1.055) ** 2.4)
    curve: bytes = np.rint(light * 65535).astype(">u2").tobytes()
    curve = b"curv" + bytes(4) + struct.pack(">I", len(light)) + curve
    d50 = struct.pack(">3i", 63190, 65536, 54061)  # x 65536
    white = b"XYZ " + bytes(4) + d50
    start = ICC_HEADER_BYTES + 4 + 2 * 12
    size = start + len(white) + len(curve)
    header = struct.pack(">I4xI4s4s4s12x4s28x", size, 0x02400000, b"mntr", b"GRAY", b"XYZ ", b"acsp") + d50
    table = struct.pack(">I", 2) + struct.pack(">4sII", b"wtpt", start, len(white))
    table += struct.pack(">4sII", b"kTRC", start + len(white), len(curve))
    return header.ljust(ICC_HEADER_BYTES, b"\0") + table + white + curve
