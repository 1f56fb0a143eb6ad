"""Finds the holes of a picture: from a mask file, transparency, a key colour or boxes."""

import dataclasses
import io
import math
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from img2img.errors import PictureError
from img2img.runtime.files.source import PICTURE_SUFFIXES, Source, natural, on_disk
from img2img.runtime.files.storage_uri import relative_to
from img2img.runtime.image import pictures
from img2img.runtime.image.alpha import bleed
from img2img.runtime.image.holes import Mask
from img2img.runtime.image.luminance import LUMA_WEIGHTS
from img2img.runtime.image.pictures import Picture
from img2img.text import nfc, show

_LUMA = np.array(LUMA_WEIGHTS, np.float32)


@dataclass(frozen=True, slots=True)
class MaskSources:
    """Where to find the holes of every picture. Several sources are combined.

    Attributes:
        transparent: fill pixels that are not fully opaque; the result is opaque.
        key: RGB, 0..255: fill this colour, within `tolerance` steps of 1/255 in every channel.
        boxes: x, y, width, height in pixels of the upright picture.
    """

    transparent: bool = False
    key: tuple[int, int, int] | None = None
    tolerance: int = 0
    boxes: tuple[tuple[int, int, int, int], ...] = ()

    def apply(self, picture: Picture, mask: Mask | None = None) -> tuple[Picture, Mask]:
        """The picture to fill and its mask [H, W]. `mask`: an additional mask, from a file.

        Raises:
            PictureError: `mask` differs in size from the picture, or a box lies outside it.
        """
        width, height = picture.size
        found = np.zeros((height, width), np.bool_)
        if mask is not None:
            if mask.shape != found.shape:
                sizes = f"the mask has {mask.shape[1]}x{mask.shape[0]} pixels, the photo {width}x{height}"
                turned = "; the photo is turned upright first, as its EXIF orientation says"
                raise PictureError(sizes + (turned if mask.shape == found.shape[::-1] else ""))
            found |= mask
        if self.key is not None:
            found |= _keyed(picture, self.key, self.tolerance)
        for x, y, wide, high in self.boxes:
            if x >= width or y >= height or x + wide <= 0 or y + high <= 0:
                raise PictureError(f"the box {x},{y},{wide},{high} lies outside the photo of {width}x{height} pixels")
            found[max(0, y) : max(0, y + high), max(0, x) : max(0, x + wide)] = True
            if x < 0 or y < 0 or x + wide > width or y + high > height:
                note = f"only a part of the box {x},{y},{wide},{high} lies inside the photo of {width}x{height} pixels"
                picture = dataclasses.replace(picture, notes=(*picture.notes, note))
        if self.transparent:
            if picture.alpha is None:
                note = "the photo has no transparency"
                return dataclasses.replace(picture, notes=(*picture.notes, note)), found
            # A soft eraser leaves a half-transparent rim. Fill it too, or a ring remains.
            found |= picture.alpha < np.iinfo(picture.alpha.dtype).max
            picture = dataclasses.replace(picture, colour=bleed(picture.colour, picture.alpha), alpha=None)
        return picture, found


def _ignore(note: str) -> None:
    pass


def read(source: Path | bytes, *, max_pixels: int | None = None, note: Callable[[str], None] = _ignore) -> Mask:
    """A mask from a picture file of any mode, or from its content, as `of` sees it. Raises PictureError."""
    limit = max_pixels or pictures.DEFAULT_MAX_PIXELS
    if isinstance(source, bytes):
        return of(pictures.read(io.BytesIO(source), name="the mask", max_pixels=limit), note=note)
    picture = pictures.read(source, max_pixels=limit)
    try:
        return of(picture, note=note)
    except PictureError as error:
        raise PictureError(f"{show(source)}: {error}", path=str(source)) from error


def of(picture: Picture, *, note: Callable[[str], None] = _ignore) -> Mask:
    """bool [H, W], true where to fill.

    White means fill: pixels of at least half brightness; transparency counts as black. If the picture has exactly two
    values on the same side of half, the brighter one means fill. If it has a single colour, transparency decides: the
    rarer of opaque and transparent means fill. In a photo with an erased hole, transparent means fill. `note` receives
    one line in these cases, and if most of the picture is to be filled.

    Raises:
        PictureError: the mask is not black, but selects nothing.
    """
    half = math.ceil(int(np.iinfo(picture.colour.dtype).max) / 2)
    grey = picture.colour[..., 0] if picture.colour.shape[2] == 1 else np.rint(picture.colour @ _LUMA)
    if picture.alpha is not None:
        opaque: Mask = picture.alpha >= half
        visible = grey[opaque]
        if visible.size not in (0, grey.size) and visible.min() == visible.max():
            rare = opaque if 2 * visible.size <= grey.size else ~opaque
            if visible[0] < half or rare is not opaque:
                kind = "opaque" if rare is opaque else "transparent"
                note(f"the mask has a single colour: its {kind} pixels are filled")
            return rare
        is_photo = ((visible > 0.05 * 2 * half) & (visible < 0.95 * 2 * half)).mean() > 0.5 if visible.size else False
        if is_photo and visible.size < grey.size:
            note("the mask is a picture with a hole: its transparent pixels are filled")
            return ~opaque
        grey = np.where(opaque, grey, 0)
    low, high = grey.min(), grey.max()
    if low != high and (low < half) == (high < half) and ((grey == low) | (grey == high)).all():
        note(f"the mask has two values, {low:g} and {high:g}: the brighter one is filled")
        half = high
    elif 0 < high < half:
        values = f"values are {low:g} to {high:g}" if low != high else f"only value is {high:g}"
        raise PictureError(f"the mask selects nothing: its {values}, none is at least half ({half}); white means fill")
    mask: Mask = np.asarray(grey >= half)
    if 0.5 < (share := mask.mean()) < 1:  # the whole picture is an error elsewhere
        note(f"the mask selects {share:.0%} of the picture: white means fill")
    return mask


def in_folder(folder: Path, source: Source) -> Path:
    """The mask of a picture in a folder of masks: of the same name below it, or with another extension.

    Raises PictureError where there is none.
    """
    assert source.path is not None
    inside = relative_to(source.path, source.root).parent if source.root is not None else Path()
    place, own = on_disk(folder / inside), source.path
    same = on_disk(place / own.name)
    if same.is_file():
        return same
    others = [
        path
        for path in (place.iterdir() if place.is_dir() else ())
        if nfc(path.stem) == nfc(own.stem) and path.suffix.casefold() in PICTURE_SUFFIXES and path.is_file()
    ]
    if not others:
        expected = show(same.with_suffix(".png"))
        raise PictureError(f"{show(source.path)}: there is no mask for it: no {expected}", path=str(source.path))
    return min(others, key=lambda path: (path.stem != own.stem, natural(path)))


def _keyed(picture: Picture, key: tuple[int, int, int], tolerance: int) -> Mask:
    whole = int(np.iinfo(picture.colour.dtype).max)
    step = whole // 255
    mask = np.ones(picture.colour.shape[:2], np.bool_)
    for channel, value in enumerate(key):
        # Grey is compared with all three.
        plane = picture.colour[..., channel % picture.colour.shape[2]].astype(np.int32)
        mask &= np.abs(plane - value * step) <= tolerance * step
    return mask
