"""Decodes pictures of every Pillow mode to grey or RGB, with alpha if there is any."""

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import numpy.typing as npt
from PIL import Image, ImageFile

from img2img.errors import PictureError
from img2img.runtime.image import colour as colours
from img2img.runtime.image import sixteen_bits

Pixels = npt.NDArray[Any]

# For grey of 2 and 4 bits, Pillow scales the pixels to 0..255, but not the value of the transparent colour.
_GREY_STEPS = {"L;2": 85, "L;4": 17}


@dataclass(slots=True)
class Decoded:
    """Decoded pixels and their metadata, as in Picture, but before the EXIF orientation is applied."""

    colour: Pixels  # [H, W, C]
    alpha: Pixels | None = None
    icc: bytes | None = None
    notes: list[str] = field(default_factory=list)


def decode(
    image: ImageFile.ImageFile, again: Callable[[], ImageFile.ImageFile], name: str, *, shallow: str = ""
) -> Decoded:
    """Decode an opened picture to uint8, or to uint16 if its samples have 16 bits.

    `again` opens the file once more. `shallow` is the reason why this layout must be reduced to 8 bits; "" keeps 16.
    Raises PictureError for 32-bit pixels, and Pillow's exceptions for damaged files.
    """
    raw = sixteen_bits.raw_mode(image)
    profile = image.info.get("icc_profile")
    if (
        sixteen_bits.has_sixteen_bits(image)
        and raw.split(";")[0] in ("LA", "RGB", "RGBA", "RGBa", "RGBX")
        and not shallow
    ):
        pixels, premultiplied = sixteen_bits.decode(image, again)
        decoded = split(pixels, premultiplied=premultiplied)
        _colour_key(decoded, image)
    else:
        image.load()
        decoded = _plain(image, raw, name)
        if loses_low_bytes(raw):
            decoded.notes.append(f"16 bits per channel reduced to 8: {shallow or f'the layout is {image.mode}'}")
    settle_profile(decoded, profile if isinstance(profile, bytes) and profile else None, image)
    return decoded


def loses_low_bytes(raw: str) -> bool:
    """Whether plain decoding of this raw mode drops the low byte of 16."""
    return ";16" in raw and not raw.startswith("I")


def split(pixels: Pixels, *, premultiplied: bool = False) -> Decoded:
    """Separate colour and alpha in [H, W, 1..4]. If there are two or four channels, the last one is alpha."""
    if pixels.shape[2] in (1, 3):
        return Decoded(pixels)
    colour, alpha = np.ascontiguousarray(pixels[..., :-1]), np.ascontiguousarray(pixels[..., -1])
    return Decoded(sixteen_bits.unpremultiply(colour, alpha) if premultiplied else colour, alpha)


def settle_profile(decoded: Decoded, profile: bytes | None, image: Image.Image) -> None:
    """Keep the ICC profile if it matches the colour space of the decoded pixels."""
    if profile is None or image.mode in ("CMYK", "LAB", "YCbCr", "HSV"):
        return  # the pixels have been converted to sRGB, which is the meaning of RGB without a profile
    space = colours.space(profile)
    fitting = ("RGB",) if decoded.colour.shape[2] == 3 else ("GRAY", "RGB")
    if space in fitting:
        decoded.icc = profile
    elif space is None:
        decoded.notes.append("the ICC profile is damaged and was left out")
    else:
        decoded.notes.append(f"the ICC profile is for {space} and does not match the pixels; it was left out")


def _plain(image: Image.Image, raw: str, name: str) -> Decoded:
    mode = image.mode
    if mode in ("1", "L"):
        grey = np.asarray(image)
        if mode == "1":
            grey = grey.astype(np.uint8) * np.uint8(255)
        decoded = Decoded(grey[..., None])
        if mode == "1" and image.info.get("transparency"):
            image.info["transparency"] = 255  # some versions of Pillow report 1
        _colour_key(decoded, image, _GREY_STEPS.get(raw, 1))
        return decoded
    if mode == "RGB":
        decoded = Decoded(np.asarray(image))
        _colour_key(decoded, image)
        return decoded
    if mode.startswith("I"):
        return _integers(image, raw, name)
    if mode == "F":
        raise PictureError(f"cannot read {name}: its pixels are floating-point numbers; save it with 16 or 8 bits")
    if mode in ("P", "PA"):
        image = image.convert("RGBA" if image.has_transparency_data else "RGB")
    elif mode in ("La", "RGBa"):
        image = image.convert({"La": "LA", "RGBa": "RGBA"}[mode])
    elif mode == "CMYK":
        return _from_cmyk(image)
    elif mode not in ("LA", "RGBA"):
        image = image.convert("RGB")
    return split(np.asarray(image))


def _integers(image: Image.Image, raw: str, name: str) -> Decoded:
    values = np.asarray(image)
    if values.size and (values.min() < 0 or values.max() > 65535):
        raise PictureError(f"cannot read {name}: its 32-bit pixels exceed the 16-bit range; save it with 16 bits")
    if raw.startswith("I;12"):
        values = (values.astype(np.uint32) * 65535 + 2047) // 4095
    decoded = Decoded(values.astype(np.uint16)[..., None])
    _colour_key(decoded, image)
    return decoded


def _from_cmyk(image: Image.Image) -> Decoded:
    profile = image.info.get("icc_profile")
    if profile and colours.space(profile) == "CMYK":
        converted = colours.to_srgb(image, profile)
        if converted is not None:
            return Decoded(np.asarray(converted), notes=["CMYK converted to sRGB by its ICC profile"])
    note = "CMYK converted to RGB without an ICC profile: colours are approximate"
    return Decoded(np.asarray(image.convert("RGB")), notes=[note])


def _colour_key(decoded: Decoded, image: Image.Image, step: int = 1) -> None:
    """Create alpha from PNG's transparent colour: pixels of exactly this colour are transparent, all others opaque."""
    key = image.info.get("transparency")
    if key is None or decoded.alpha is not None or isinstance(key, bytes):
        return
    colour = decoded.colour
    largest = np.iinfo(colour.dtype).max
    # The chunk always holds 16 bits. If the picture has fewer, only the low bits count (PNG 3, 11.3.1.1).
    wanted = np.array([value * step & int(largest) for value in (key if isinstance(key, tuple) else (key,))])
    if len(wanted) == colour.shape[2]:
        transparent = (colour == wanted).all(axis=2)
        decoded.alpha = np.where(transparent, 0, largest).astype(colour.dtype)
