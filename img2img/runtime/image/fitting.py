"""Converts pictures to what a format can hold, with notes on what it cannot."""

from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from PIL import Image

from img2img.errors import PictureError
from img2img.runtime.image import colour as colours
from img2img.runtime.image import exif as exifs
from img2img.runtime.image.colour_tags import ColourTags
from img2img.runtime.image.depth import over_white, to_8_bits
from img2img.runtime.image.pictures import Picture

MAX_JPEG_EXIF = 65533


@dataclass(frozen=True, slots=True)
class Format:
    """The capabilities and limits of a format."""

    shown: str
    suffix: str
    largest_side: int
    alpha: bool = True
    deep: bool = False
    grey: bool = True
    metadata: bool = True
    cicp: bool = False  # whether the file can name a colour space by the numbers of ITU-T H.273


# The sides are the encoders' limits: libjpeg's is below JPEG's own 65535.
FORMATS = {
    "PNG": Format("PNG", "png", 2**31 - 1, deep=True, cicp=True),
    "JPEG": Format("JPEG", "jpg", 65500, alpha=False),
    "WEBP": Format("WebP", "webp", 16383, grey=False),
    "TIFF": Format("TIFF", "tif", 2**31 - 1, deep=True),
    "BMP": Format("BMP", "bmp", 2**31 - 1, alpha=False, metadata=False),
    "AVIF": Format("AVIF", "avif", 65536, cicp=True),
}


def fit(picture: Picture, chosen: str) -> tuple[Picture, tuple[str, ...]]:
    """Convert the picture to what the format can hold. Returns it with notes on the losses."""
    can = FORMATS[chosen]
    notes: list[str] = []
    colour, alpha, exif = picture.colour, picture.alpha, picture.exif
    tags, icc, lost = _colour_space(picture, chosen, notes)
    if alpha is not None and not can.alpha:
        if (alpha != np.iinfo(alpha.dtype).max).any():
            colour = over_white(colour, alpha)
            notes.append(f"transparency laid over white: {can.shown} has none")
        alpha = None
    if colour.dtype == np.uint16 and not can.deep:
        colour = to_8_bits(colour)
        alpha = None if alpha is None else to_8_bits(alpha)
        notes.append(f"16 bits per channel reduced to 8: {can.shown} is written with 8")
    if colour.shape[2] == 1 and (not can.grey or (chosen == "AVIF" and alpha is not None)):
        colour, icc, note = _grey_as_rgb(colour, icc, can.shown)
        notes += note
    if exif is not None:
        exif = exifs.fitted(exif, *picture.size)
        if chosen == "JPEG" and len(exif) > MAX_JPEG_EXIF:
            exif = None
            notes.append("EXIF left out: JPEG has room for 64 KB of it")
    if not can.metadata and icc:
        colour, converted = _without_profile(colour, icc)
        lost += [] if converted else ["ICC profile"]
        space = f" from {picture.tags.space}" if picture.icc is None else ""
        notes += [f"colours converted to sRGB{space}"] if converted else []
        icc = None
    if not can.metadata and exif:
        lost.append("EXIF")
        exif = None
    metadata, names = picture.metadata.fitted(*picture.size).held_by(chosen)
    if lost := lost + names:
        notes.append(f"{_listed(lost)} left out: {can.shown} has no place for {'it' if len(lost) == 1 else 'them'}")
    changes: dict[str, Any] = {"colour": colour, "alpha": alpha, "icc": icc, "exif": exif}
    return replace(picture, **changes, tags=tags, metadata=metadata), tuple(notes)


def check_colour(picture: Picture, chosen: str) -> None:
    """Raise PictureError for a picture with an HDR transfer function that the format cannot name."""
    hdr = picture.tags.hdr
    if hdr is not None and picture.icc is None and not FORMATS[chosen].cicp:
        raise PictureError(f"it is HDR ({hdr}), which {FORMATS[chosen].shown} cannot say; write PNG or AVIF instead")


def _colour_space(picture: Picture, chosen: str, notes: list[str]) -> tuple[ColourTags, bytes | None, list[str]]:
    """The tags and the ICC profile for the format, and the names of the tags that are lost."""
    tags, icc = picture.tags, picture.icc
    grey = picture.colour.shape[2] == 1
    if chosen == "PNG":
        if picture.format == "AVIF" and icc is None:  # also for viewers that do not know the tag
            icc = tags.profile(grey=grey)
        return tags, icc, []
    lost = list(tags.others)
    kept = ColourTags(tags.cicp) if chosen == "AVIF" and (icc is None or tags.hdr) else ColourTags()
    if icc is None and kept.cicp is None:
        icc = tags.profile(grey=grey)
        if icc is not None and FORMATS[chosen].metadata:
            notes.append(f"its {tags.space} became an ICC profile: {FORMATS[chosen].shown} has no other place for it")
        if not tags.known:
            lost.insert(0, tags.space)
    return kept, icc, lost


def _listed(names: list[str]) -> str:
    return " and ".join(filter(None, (", ".join(names[:-1]), names[-1])))


def _grey_as_rgb(colour: Any, icc: bytes | None, format: str) -> tuple[Any, bytes | None, list[str]]:
    """Convert grey to three channels. A grey profile is applied to them instead of attached."""
    if icc is not None and colours.space(icc) == "GRAY":
        converted = colours.grey_to_srgb(colour[..., 0], icc)
        if converted is not None:
            note = f"grey converted to sRGB by its ICC profile: {format} has no grey"
            return np.repeat(converted[..., None], 3, axis=2), None, [note]
        return np.repeat(colour, 3, axis=2), None, ["the ICC profile is damaged and was left out"]
    return np.repeat(colour, 3, axis=2), icc, []


def _without_profile(colour: Any, icc: bytes) -> tuple[Any, bool]:
    """Convert 8-bit colours to sRGB, the default without a profile. Returns them, and whether that was possible."""
    converted = None
    if colour.shape[2] == 3:
        image = colours.to_srgb(Image.fromarray(np.ascontiguousarray(colour)), icc)
        converted = None if image is None else np.asarray(image)
    elif colours.space(icc) == "GRAY":
        plane = colours.grey_to_srgb(colour[..., 0], icc)
        converted = None if plane is None else plane[..., None]
    return (colour, False) if converted is None else (converted, True)
