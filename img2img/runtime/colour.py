"""Colour spaces: what has to become RGB becomes it by its ICC profile where it has one."""

import io

from PIL import Image

ICC_HEADER_BYTES = 128  # ICC.1:2022, 7.2


def space(profile: bytes) -> str | None:
    """The colour space that an ICC profile is for ("RGB", "GRAY", "CMYK", "Lab"); None where it is no profile."""
    if len(profile) < ICC_HEADER_BYTES or profile[36:40] != b"acsp":
        return None
    return profile[16:20].decode("ascii", "replace").strip()


def to_srgb(image: Image.Image, profile: bytes) -> Image.Image | None:
    """An RGB picture in sRGB, by an ICC profile that fits the CMYK or L picture; None where the profile does not work.

    Relative colorimetric with black point compensation, the default of the programs that make such pictures.
    """
    from PIL import ImageCms

    try:
        source = ImageCms.ImageCmsProfile(io.BytesIO(profile))
        target = ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB"))
        return ImageCms.profileToProfile(
            image,
            source,
            target,
            renderingIntent=ImageCms.Intent.RELATIVE_COLORIMETRIC,
            outputMode="RGB",
            flags=ImageCms.Flags.BLACKPOINTCOMPENSATION,
        )
    except (ImageCms.PyCMSError, OSError, ImportError):  # a broken profile; or a Pillow built without littlecms
        return None
