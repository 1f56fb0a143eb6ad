"""Pictures as a comparison sees them: 8-bit RGB, transparent pixels on white."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt

from img2img.runtime.image import hdr, pictures
from img2img.runtime.image.depth import over_white, to_8_bits
from img2img.runtime.image.pictures import DEFAULT_MAX_PIXELS, Picture

Pixels = npt.NDArray[np.uint8]


@dataclass(frozen=True)
class Seen:
    """What is shown and measured of a picture.

    Attributes:
        pixels: uint8 RGB [H, W, 3].
        icc: the ICC profile of these colours, if they are not sRGB.
    """

    pixels: Pixels
    icc: bytes | None = None

    @property
    def size(self) -> tuple[int, int]:
        """Width and height in pixels."""
        return self.pixels.shape[1], self.pixels.shape[0]


def read(path: Path, max_pixels: int | None = None) -> Picture:
    """Read a picture, the first frame of an animation. Raises PictureError."""
    return pictures.read(path, first_frame=True, max_pixels=max_pixels or DEFAULT_MAX_PIXELS)


def seen(picture: Picture) -> Seen:
    """The picture with three channels of 8 bits. HDR is reduced to sRGB."""
    if picture.is_pq:
        picture = hdr.shown(picture)
    colour, is_rgb = picture.colour, picture.colour.shape[2] == 3
    if picture.alpha is not None:
        colour = over_white(colour, picture.alpha)
    if colour.dtype == np.uint16:
        colour = to_8_bits(colour)
    if not is_rgb:
        colour = colour.repeat(3, axis=2)
    return Seen(np.ascontiguousarray(colour), picture.icc if is_rgb else None)
