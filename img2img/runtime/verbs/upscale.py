"""A picture with all that belongs to it through a model: colour, transparency, and the wanted size."""

import dataclasses
import math
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from img2img.errors import UsageError
from img2img.runtime.image import mixing
from img2img.runtime.image.alpha import bleed
from img2img.runtime.image.pictures import Picture
from img2img.runtime.image.resize import lanczos
from img2img.runtime.network.counting import Progress, rescaled
from img2img.runtime.network.tiling import AUTO, Tile, run_tiled

if TYPE_CHECKING:
    from img2img.runtime.network.session import Model

Pixels = npt.NDArray[Any]


def upscale(
    model: "Model",
    picture: Picture,
    *,
    scale: float | None = None,
    tile: Tile = AUTO,
    strength: float = 1.0,
    progress: Progress | None = None,
) -> Picture:
    """Run a picture through a model and bring it to the wanted size.

    The network runs once. Where `scale` is not its own, a Lanczos resize follows, up or down: x8 with a x4 network is
    its x4 result enlarged twice. Colour is spread under full transparency first, and alpha runs as a grey picture of
    its own, unless it is the same everywhere.

    Args:
        model: a loaded model that needs nothing but a picture.
        picture: of any size from 1x1 on, 8 or 16 bits; its depth, channels, format, EXIF and ICC profile are kept.
        scale: sides of the result / sides of the picture, rounded to whole pixels and to at least 1; None: the model's.
        tile: see `tiling.Tile`.
        strength: 0 gives a plain Lanczos resize, 1 the network's result, numbers between their weighted mean.
        progress: told the number of input pixels just finished; they add up to the picture's.

    Raises:
        UsageError: the model needs a mask or a domain as well; `scale` is not a positive number; tiles are asked for
            and the model cannot have them.
        OutOfMemory, BrokenOutput, ModelError: from the network.
    """
    card = model.card
    if card.task == "inpaint" or card.domains:
        raise UsageError(f"{card.name} needs {'a mask' if card.task == 'inpaint' else 'a domain'} beside the picture")
    if scale is not None and not (math.isfinite(scale) and scale > 0):
        raise UsageError(f"scale must be a number above 0, not {scale}")
    mixing.check_strength(strength)
    notes = list(picture.notes)
    colour, alpha = picture.colour, picture.alpha
    runs = 1
    if alpha is not None:
        colour = bleed(colour, alpha)
        runs += not _is_constant(alpha)
    pixels = colour.shape[0] * colour.shape[1]
    report = None if progress is None else rescaled(progress, runs * pixels, pixels)

    def run(plane: Pixels) -> Pixels:
        return run_tiled(model, plane, tile=tile, progress=report, note=notes.append)

    size = _size(colour, card.scale if scale is None else scale)
    large = lanczos(run(colour), size)
    if strength < 1:
        large = mixing.mixed(lanczos(colour, size), large, strength)
    large_alpha = None
    if alpha is not None:
        if runs == 1:
            large_alpha = np.full(large.shape[:2], alpha.flat[0], alpha.dtype)
        else:
            large_alpha = lanczos(run(alpha[..., None])[..., 0], size)
    return dataclasses.replace(picture, colour=large, alpha=large_alpha, notes=tuple(notes))


def _size(colour: Pixels, scale: float) -> tuple[int, int]:
    """Width and height of the result."""
    height, width = colour.shape[:2]
    return max(1, math.floor(width * scale + 0.5)), max(1, math.floor(height * scale + 0.5))


def _is_constant(alpha: Pixels) -> bool:
    return bool((alpha == alpha.flat[0]).all())
