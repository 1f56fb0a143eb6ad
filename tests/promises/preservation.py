"""Checks what every task must preserve of a picture, with an independent viewer."""

import io
import struct
import zlib
from collections.abc import Iterator
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any
from unittest.mock import patch

import numpy as np
import numpy.typing as npt
from PIL import Image, ImageCms, PngImagePlugin, TiffImagePlugin

Pixels = npt.NDArray[Any]

SCALES = {"upscale": 2, "translate": 1, "inpaint": 1}

LOSSLESS = ("PNG", "TIFF", "BMP", "GIF")
NO_ALPHA, NO_GREY, NO_METADATA, NO_DPI = ("JPEG", "BMP"), ("WEBP",), ("BMP", "GIF"), ("WEBP", "AVIF", "GIF")
DEEP = ("PNG", "TIFF")
BOUND = 1.01  # steps of 255
SEEN_BOUND = 3.01  # profiles are applied to 8 bits, and twice where one is new
LOSSY_BOUND, BLOCK = 16.0, 8  # in the mean of each block: WebP halves colour's resolution whatever the quality

ENTRIES = {0x010F: "maker", 0x0110: "camera", 0x0132: "date"}
SRGB = ImageCms.createProfile("sRGB")


@dataclass
class Seen:
    """A picture as a colour-managed viewer shows it. All arrays are upright, with values 0..255 as floats."""

    format: str
    colour: Pixels  # [H, W, C] as stored
    shown: Pixels  # [H, W, 3] in sRGB
    alpha: Pixels | None  # [H, W]
    deep: bool
    icc: bytes | None
    facts: dict[str, Any]
    orientation: int
    sides: tuple[int, int] | None  # that EXIF tells
    dpi: tuple[float, float] | None

    @property
    def size(self) -> tuple[int, int]:
        return self.colour.shape[1], self.colour.shape[0]


def kept(before: Path, after: Path, task: str) -> list[str]:
    """What the file `after` has lost of `before`, each a phrase; empty where all is well.

    `after` has been made by `task` with a network that changes nothing: upscaling repeats each pixel, translating gives
    the picture back, inpainting has filled the upper left pixel. What the format of `after` cannot hold is not lost:
    transparency is laid over white, 16 bits become 8, grey becomes neutral colour.
    """
    old, new = see(before), see(after)
    return [*_pixels(old, new, task), *_metadata(old, new)]


def _pixels(old: Seen, new: Seen, task: str) -> Iterator[str]:
    scale = SCALES[task]
    if (expected := (old.size[0] * scale, old.size[1] * scale)) != new.size:
        yield f"the size is {new.size}, not {expected}"
        return
    grey_is_held = new.format not in NO_GREY and not (new.format == "AVIF" and old.alpha is not None)
    if old.colour.shape[2] == 1 and new.colour.shape[2] != 1 and grey_is_held and task != "translate":
        yield "grey has become colour"
    if old.colour.shape[2] > new.colour.shape[2]:
        yield "colour has become grey"
        return
    if old.deep and not new.deep and new.format in DEEP:
        yield "16 bits have become 8"
    alpha, colour, shown = old.alpha, old.colour, [old.shown]
    visible = np.ones(colour.shape[:2], np.bool_)
    if alpha is not None and new.format in NO_ALPHA:
        # Some viewers mix before they apply a profile, some after.
        colour, other = (part * (alpha[..., None] / 255) + 255 - alpha[..., None] for part in (colour, old.shown))
        shown = [_managed(colour, old.icc), other]
    elif alpha is not None:
        visible = alpha > 0
    known = np.ones_like(visible)
    known[:1, :1] = task != "inpaint"
    if alpha is not None and new.format not in NO_ALPHA and not (new.alpha is None and (alpha == 255).all()):
        if new.alpha is None:
            yield "transparency is gone"
        else:
            yield from _far("alpha", _large(alpha, scale), new.alpha, _large(known, scale), new, BOUND)
    if new.alpha is not None and (alpha is None and (new.alpha != 255).any()):
        yield "something has become transparent"
    compared = _large(visible & known, scale)
    if old.icc == new.icc:
        stored = _large(colour, scale)
        yield from _far("colour", np.broadcast_to(stored, new.colour.shape), new.colour, compared, new, BOUND)
    seen = [list(_far("the colour seen", _large(one, scale), new.shown, compared, new, SEEN_BOUND)) for one in shown]
    yield from min(seen, key=len)
    white = compared & _large((colour == 255).all(axis=2), scale)
    darkest, least = new.shown.min(axis=2), 255
    if new.format not in LOSSLESS and not white.all():  # an edge rings as far as into the next block
        least = {"AVIF": 250, "WEBP": 252}.get(new.format, 254)
        around = np.pad(_blocks(white, np.minimum), 1, constant_values=True)
        white = np.lib.stride_tricks.sliding_window_view(around, (3, 3)).all(axis=(2, 3))
        darkest = _blocks(darkest, np.minimum)
    if white.any() and darkest[white].min() < least:
        yield f"white has become {darkest[white].min():g}"


def _metadata(old: Seen, new: Seen) -> Iterator[str]:
    if new.orientation != 1:
        yield f"the orientation still is {new.orientation}"
    if new.sides is not None and new.sides != new.size:
        yield f"EXIF says that the size is {new.sides}"
    if new.format not in NO_METADATA:
        for name, value in old.facts.items():
            if new.facts.get(name) != value:
                yield f"the {name} was {value!r} and is {new.facts.get(name)!r}"
    if old.dpi is not None and new.format not in NO_DPI:
        found = new.dpi or (0, 0)
        if max(abs(was - now) for was, now in zip(old.dpi, found, strict=True)) > 0.6:
            yield f"the resolution was {old.dpi} and is {new.dpi}"


def _large(plane: Pixels, scale: int) -> Pixels:
    return plane.repeat(scale, axis=0).repeat(scale, axis=1)


def _far(what: str, old: Pixels, new: Pixels, where: Pixels, seen: Seen, bound: float) -> Iterator[str]:
    if not where.any():
        return
    far = np.abs(old - new)
    if seen.format not in LOSSLESS:
        sums = _blocks((old - new) * (where if old.ndim == 2 else where[..., None]), np.add)
        sizes = _blocks(np.ones(where.shape), np.add)
        far = np.abs(sums) / (sizes if old.ndim == 2 else sizes[..., None])
        where = _blocks(where, np.logical_or)
        bound = LOSSY_BOUND
    elif seen.deep and bound == BOUND:
        bound = 1 / 256
    if where.any() and far[where].max() > bound:
        yield f"{what} is off by {far[where].max():.3g} steps of 255, {far[where].mean():.3g} in the mean"


def _blocks(plane: Pixels, reduce: np.ufunc) -> Pixels:
    """Blocks reduced to one value; those at the ends are larger, or all that there is."""
    for axis in (0, 1):
        starts = np.arange(0, max(1, plane.shape[axis] - BLOCK + 1), BLOCK)
        plane = reduce.reduceat(plane, starts, axis=axis)
    return plane


# --- the viewer


def see(path: Path) -> Seen:
    """Decode a file to its end."""
    return _see(path.read_bytes())


@lru_cache(maxsize=300)
def _see(data: bytes) -> Seen:
    with patch.object(PngImagePlugin, "MAX_TEXT_CHUNK", 64 << 20), Image.open(io.BytesIO(data)) as image:
        exif = image.getexif()
        orientation = exif.get(0x0112, 1)
        icc = image.info.get("icc_profile") or None
        dpi = image.info.get("dpi")
        format = "JPEG" if image.format == "MPO" else str(image.format)
        deep, colour, alpha = _decoded(data, image, icc)
        # Pillow has done it already, unless the samples come from `_deep_tiff`.
        turn = 1 if format == "TIFF" and (not deep or image.mode == "I") else orientation
    place = exif.get_ifd(0x8825)
    photo = exif.get_ifd(0x8769)
    facts = {name: exif[tag] for tag, name in ENTRIES.items() if tag in exif}
    facts |= {"moment": photo[0x9003]} if 0x9003 in photo else {}
    facts |= {"place": tuple(str(place.get(tag)) for tag in (1, 2, 3, 4))} if place else {}
    sides = (photo[0xA002], photo[0xA003]) if 0xA002 in photo and 0xA003 in photo else None
    # Pillow says 1 where a TIFF says nothing.
    dpi = tuple(map(float, dpi)) if dpi is not None and min(dpi) > 1 else None
    if image.mode in ("CMYK", "LAB", "YCbCr"):
        icc = None  # it is for what the pixels were before they were decoded to RGB
    icc = icc if icc is not None and _fits(icc, colour.shape[2]) else None
    shown = _managed(colour, icc)
    colour, shown = _turned(colour, turn), _turned(shown, turn)
    alpha = None if alpha is None else _turned(alpha, turn)
    return Seen(format, colour, shown, alpha, deep, icc, facts, orientation, sides, dpi)


def _decoded(data: bytes, image: Image.Image, icc: bytes | None) -> tuple[bool, Pixels, Pixels | None]:
    """Whether it has 16 bits a sample; colour; alpha."""
    key = image.info.get("transparency")
    depth = data[24] if image.format == "PNG" else image.tag_v2.get(258, (8,))[0] if image.format == "TIFF" else 8  # type: ignore[attr-defined]
    if depth == 16 and image.mode != "CMYK" and not getattr(image, "is_animated", False):
        pixels = _deep_tiff(data) if image.format == "TIFF" else _deep_png(data)
        image.load()
        alpha = pixels[..., -1] if pixels.shape[2] in (2, 4) else None
        colour = pixels[..., : 3 if pixels.shape[2] > 2 else 1]
        if key is not None and alpha is None:
            alpha = np.where((colour == np.array(key)).all(axis=2), 0, 65535)
        return True, colour / 257, None if alpha is None else alpha / 257
    if image.mode == "I":
        return True, np.asarray(image)[..., None] / 257, None
    if image.mode == "CMYK" and icc is not None and _space(icc) == "CMYK":
        image = _to_srgb(icc, "CMYK").apply(image)
    elif image.mode in ("1", "L") and key is not None:
        grey = np.asarray(image.convert("L"))
        value = 255 * bool(key) if depth == 1 else key % 256 * {2: 85, 4: 17}.get(depth, 1)
        return False, grey[..., None] / 1.0, np.where(grey == value, 0.0, 255.0)
    elif image.mode in ("1", "L"):
        return False, np.asarray(image.convert("L"))[..., None] / 1.0, None
    elif image.mode in ("La", "RGBa"):
        image = image.convert({"La": "LA", "RGBa": "RGBA"}[image.mode])
    elif image.mode not in ("LA", "RGBA"):
        image = image.convert("RGBA" if image.has_transparency_data else "RGB")
    pixels = np.asarray(image) / 1.0
    if pixels.shape[2] in (2, 4):
        return False, pixels[..., :-1], pixels[..., -1]
    return False, pixels, None


def _deep_png(data: bytes) -> Pixels:
    """uint16 [H, W, C] by libpng's filters undone here; Adam7's passes are seven small pictures."""
    width, height, _, kind, _, _, interlaced = struct.unpack_from(">IIBBBBB", data, 16)
    channels = {0: 1, 2: 3, 4: 2, 6: 4}[kind]
    at, packed = 8, b""
    while at < len(data):
        length, name = struct.unpack_from(">I4s", data, at)
        packed += data[at + 8 : at + 8 + length] if name == b"IDAT" else b""
        at += 12 + length
        if name == b"IEND":
            break
    raw = np.frombuffer(zlib.decompress(packed), np.uint8)
    result = np.zeros((height, width, channels), np.uint16)
    passes = ((0, 0, 8, 8), (4, 0, 8, 8), (0, 4, 4, 8), (2, 0, 4, 4), (0, 2, 2, 4), (1, 0, 2, 2), (0, 1, 1, 2))
    for left, top, across, down in passes if interlaced else ((0, 0, 1, 1),):
        part = result[top::down, left::across]
        if not part.size:
            continue
        pitch = part.shape[1] * channels * 2
        lines = raw[: part.shape[0] * (pitch + 1)].reshape(part.shape[0], pitch + 1)
        raw = raw[lines.size :]
        above = np.zeros(pitch, np.int64)
        for number, line in enumerate(lines):
            above = _unfiltered(int(line[0]), line[1:].astype(np.int64), above, channels * 2)
            part[number] = (above[0::2] * 256 + above[1::2]).reshape(-1, channels)
    return result


def _unfiltered(kind: int, line: Pixels, above: Pixels, step: int) -> Pixels:
    if kind == 0:
        return line
    if kind == 2:
        return (line + above) % 256
    if kind == 1:
        columns = line.reshape(-1, step)
        result: Pixels = (columns.cumsum(axis=0) % 256).reshape(-1)
        return result
    result = line.copy()
    for at in range(len(line)):
        a, b, c = (
            (int(result[at - step]), int(above[at]), int(above[at - step])) if at >= step else (0, int(above[at]), 0)
        )
        guess = (a + b) // 2
        if kind == 4:
            guess = min((a, b, c), key=lambda one: abs(a + b - c - one))
        result[at] = (result[at] + guess) % 256
    return result


def _deep_tiff(data: bytes) -> Pixels:
    """uint16 [H, W, C] of raw or deflated strips, upright as Pillow's own TIFFs are not for this depth."""
    tags = TiffImagePlugin.ImageFileDirectory_v2(data[:8])
    stream = io.BytesIO(data)
    stream.seek(tags.next)
    tags.load(stream)
    order = ">" if data[:2] == b"MM" else "<"
    width, height, channels = tags[256], tags[257], tags.get(277, 1)
    rows = []
    for start, length in zip(tags[273], tags[279], strict=True):
        strip = data[start : start + length]
        strip = zlib.decompress(strip) if tags[259] == 8 else strip
        samples = np.frombuffer(strip, f"{order}u2").astype(np.uint16).reshape(-1, width, channels)
        rows.append(samples.cumsum(axis=1, dtype=np.uint16) if tags.get(317, 1) == 2 else samples)
    result = np.concatenate(rows)[:height]
    return np.uint16(65535) - result if tags[262] == 0 else result


@lru_cache
def _to_srgb(icc: bytes, mode: str) -> ImageCms.ImageCmsTransform:
    profile = ImageCms.ImageCmsProfile(io.BytesIO(icc))
    return ImageCms.buildTransform(profile, SRGB, mode, "RGB", ImageCms.Intent.RELATIVE_COLORIMETRIC)


@lru_cache
def _space(icc: bytes) -> str | None:
    try:
        return str(ImageCms.ImageCmsProfile(io.BytesIO(icc)).profile.xcolor_space).strip()
    except OSError:
        return None


def _fits(icc: bytes, channels: int) -> bool:
    return _space(icc) in ({"RGB"} if channels == 3 else {"RGB", "GRAY"})


def _managed(colour: Pixels, icc: bytes | None) -> Pixels:
    """sRGB of the stored colours; grey with a profile for colours is taken as it is."""
    grey = colour.shape[2] == 1
    if icc is not None and (_space(icc) == "GRAY") == grey:
        rounded = np.rint(colour).astype(np.uint8)
        image = Image.fromarray(rounded[..., 0] if grey else rounded)
        return np.asarray(_to_srgb(icc, image.mode).apply(image)) / 1.0
    return colour.repeat(3, axis=2) if grey else colour


def _turned(pixels: Pixels, orientation: int) -> Pixels:
    quarters, mirrored = {2: (0, 1), 3: (2, 0), 4: (2, 1), 5: (3, 1), 6: (3, 0), 7: (1, 1), 8: (1, 0)}.get(
        orientation, (0, 0)
    )
    pixels = np.rot90(pixels, quarters)
    return pixels[:, ::-1] if mirrored else pixels
