"""Decodes pictures of every Pillow mode to grey or RGB, with alpha if there is any.

Pillow's only mode with 16 bits per channel is grey. For others, its decoders do the work (interlacing, filters, LZW,
predictors, tiles) but keep one byte of each sample: the first if the raw mode says big-endian, the second if it says
little-endian. The file is therefore decoded twice, once with each byte order, and the two bytes are combined. Two
channels need one decoding only: their four bytes per pixel are decoded as RGBA.
"""

import sys
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import numpy.typing as npt
from PIL import Image, ImageFile

from img2img.errors import PictureError
from img2img.runtime.image import colour as colours
from img2img.runtime.image.colour_tags import NO_TAGS, ColourTags
from img2img.runtime.image.metadata import NO_METADATA, Metadata

Pixels = npt.NDArray[Any]

NATIVE = "L" if sys.byteorder == "little" else "B"

# For grey of 2 and 4 bits, Pillow scales the pixels to 0..255, but not the value of the transparent colour.
_GREY_STEPS = {"L;2": 85, "L;4": 17}


@dataclass(slots=True)
class Decoded:
    """Decoded pixels and all else of a file, as in Picture, but before the EXIF orientation is applied."""

    colour: Pixels  # [H, W, C]
    alpha: Pixels | None = None
    icc: bytes | None = None
    notes: list[str] = field(default_factory=list)
    exif: bytes | None = None
    dpi: tuple[float, float] | None = None
    tags: ColourTags = NO_TAGS
    metadata: Metadata = NO_METADATA
    jpeg_quality: int | None = None


def decode(image: ImageFile.ImageFile, again: Callable[[], ImageFile.ImageFile], *, shallow: str = "") -> Decoded:
    """Decode an opened picture to uint8, or to uint16 if its samples have 16 bits.

    `again` opens the file once more. `shallow` is the reason why this layout must be reduced to 8 bits; "" keeps 16.
    Raises PictureError for 32-bit pixels, and Pillow's exceptions for damaged files.
    """
    raw = raw_mode(image)
    profile = image.info.get("icc_profile")
    if has_sixteen_bits(image) and raw.split(";")[0] in ("LA", "RGB", "RGBA", "RGBa", "RGBX") and not shallow:
        pixels, premultiplied = _decode_sixteen_bits(image, again)
        decoded = split(pixels, premultiplied=premultiplied)
        _colour_key(decoded, image)
    else:
        image.load()
        decoded = _plain(image, raw)
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
    return Decoded(unpremultiply(colour, alpha) if premultiplied else colour, alpha)


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


def _plain(image: Image.Image, raw: str) -> Decoded:
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
        return _integers(image, raw)
    if mode == "F":
        raise PictureError("its pixels are floating-point numbers; save it with 16 or 8 bits")
    if mode in ("P", "PA"):
        image = image.convert("RGBA" if image.has_transparency_data else "RGB")
    elif mode in ("La", "RGBa"):
        image = image.convert({"La": "LA", "RGBa": "RGBA"}[mode])
    elif mode == "CMYK":
        return _from_cmyk(image)
    elif mode not in ("LA", "RGBA"):
        image = image.convert("RGB")
    return split(np.asarray(image))


def _integers(image: Image.Image, raw: str) -> Decoded:
    values = np.asarray(image)
    if values.size and values.min() < 0:
        what = f"its {'signed' if ';16' in raw else '32-bit'} pixels have negative values, down to {values.min()}"
        raise PictureError(f"{what}; shift them to 0..65535 and save it with 16 bits")
    if values.size and values.max() > 65535:
        raise PictureError("its 32-bit pixels exceed the 16-bit range; save it with 16 bits")
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


def raw_mode(image: ImageFile.ImageFile) -> str:
    """Pillow's name for the layout of the samples in the file ("RGB;16B"); "" after decoding."""
    if not image.tile:
        return ""
    args = image.tile[0][3]
    return args if isinstance(args, str) else str(args[0]) if args else ""


def has_sixteen_bits(image: ImageFile.ImageFile) -> bool:
    """Whether an undecoded PNG or TIFF has 16-bit samples that plain decoding would reduce to 8 bits."""
    return raw_mode(image).rpartition(";")[2] in ("16B", "16L", "16N") and not image.mode.startswith("I")


def _decode_sixteen_bits(image: ImageFile.ImageFile, again: Callable[[], ImageFile.ImageFile]) -> tuple[Pixels, bool]:
    """Decode 16-bit samples. Returns uint16 [H, W, C], and whether alpha is premultiplied.

    C is 2 (grey, alpha), 3 (RGB) or 4 (RGB, alpha). `again` opens the same file once more.
    """
    base, _, order = raw_mode(image).partition(";16")
    if base == "LA":
        return decode_pairs(image, order == "B"), False
    premultiplied = base == "RGBa"
    base = "RGBA" if premultiplied else base
    first = NATIVE if order == "N" else order
    high = _plane(image, f"{base};16{first}")
    low = _plane(again(), f"{base};16{'L' if first == 'B' else 'B'}")
    result = high.astype(np.uint16)
    del high
    result <<= 8
    result |= low
    return result, premultiplied


def unpremultiply(colour: Pixels, alpha: Pixels) -> Pixels:
    """Convert premultiplied uint16 colour [H, W, C] with alpha [H, W] to straight colour; 0 where alpha is 0."""
    divisor = np.maximum(alpha, 1).astype(np.uint32)[..., None]
    straight = colour.astype(np.uint32)
    straight *= 65535  # still below 2**32 after half the divisor is added
    straight += divisor // 2
    straight //= divisor
    straight[alpha == 0] = 0
    return np.minimum(straight, 65535).astype(np.uint16)


def _plane(image: ImageFile.ImageFile, mode: str) -> Pixels:
    image.tile = [_with_raw_mode(tile, mode) for tile in image.tile]
    image.load()
    return np.asarray(image)


def decode_pairs(image: ImageFile.ImageFile, big_endian: bool) -> Pixels:
    """Decode a picture with two 16-bit channels in the given byte order: uint16 [H, W, 2]."""
    image.tile = [_with_raw_mode(tile, "RGBA") for tile in image.tile]
    image._mode = "RGBA"
    image.load()
    return np.array(image).view(">u2" if big_endian else "<u2").astype(np.uint16)


def _with_raw_mode(tile: Any, mode: str) -> Any:
    codec, extents, offset, args = tile
    return type(tile)(codec, extents, offset, mode if isinstance(args, str) else (mode, *args[1:]))
