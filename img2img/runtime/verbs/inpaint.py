"""Holes in a picture filled by a network, and nothing else touched."""

import dataclasses
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from img2img.errors import PictureError, UsageError
from img2img.runtime.image import holes, mixing
from img2img.runtime.image.alpha import bleed
from img2img.runtime.image.holes import Mask, Patch
from img2img.runtime.image.pictures import Picture
from img2img.runtime.image.resize import lanczos
from img2img.runtime.network import sizing
from img2img.runtime.network.counting import Progress, rescaled
from img2img.runtime.network.grid import Grid
from img2img.runtime.network.sizing import Size
from img2img.runtime.network.tiling import run_tiled

if TYPE_CHECKING:
    from img2img.runtime.network.session import Model

Pixels = npt.NDArray[Any]

DEFAULT_SIZE = 512
DEFAULT_FEATHER = 3


def inpaint(
    model: "Model",
    picture: Picture,
    mask: Mask,
    *,
    size: Size = DEFAULT_SIZE,
    dilate: int = 0,
    feather: int = DEFAULT_FEATHER,
    strength: float = 1.0,
    progress: Progress | None = None,
) -> Picture:
    """Fill the holes of a picture; every other pixel comes back bit for bit.

    The network sees the surroundings of a hole, not the whole of a large picture: the box around the hole and half its
    side (64 pixels at least) on every side; holes that fit into one such window together share it. The network never
    sees what was in the hole, nor what is hidden under full transparency: a smooth continuation of the visible pixels
    stands there. Towards the rim of the hole its result is blended with that continuation, so that no seam shows and
    nothing of what is to go shines through.

    Args:
        model: a loaded model for inpainting.
        picture: of any size, 8 or 16 bits; depth, channels, alpha, format, EXIF and ICC profile are kept.
        mask: bool [H, W], true where to fill.
        size: a number is the longest side in pixels at which the network sees a window; larger ones are reduced to it,
            and what was filled is enlarged. See `sizing.Size`.
        dilate: pixels by which the mask is grown first.
        feather: width of the blended rim, in pixels, inside the (grown) mask.
        strength: 0 leaves the picture, 1 gives the network's result, numbers between their weighted mean.
        progress: told numbers of pixels that add up to the picture's.

    Raises:
        UsageError: the model is not for inpainting, or needs more than a mask; an option is out of range.
        PictureError: the mask has another size than the picture, or covers it all.
        OutOfMemory, BrokenOutput, ModelError: from the network.
    """
    _check(model, size, dilate, feather, strength)
    width, height = picture.size
    if mask.shape != (height, width):
        raise PictureError(f"the mask has {mask.shape[1]}x{mask.shape[0]} pixels, the photo {width}x{height}")
    hole = holes.grown(mask, dilate)
    notes = list(picture.notes)
    if hole.all():
        raise PictureError("the mask covers the whole photo: white means fill; is it the wrong way round?")
    if not hole.any():
        notes.append("the mask is empty: nothing was filled")
        if progress is not None:
            progress(width * height)
        return dataclasses.replace(picture, notes=tuple(notes))
    colour = picture.colour.copy()
    known = ~hole if picture.alpha is None else ~hole & (picture.alpha > 0)
    hole = hole.copy()  # what is still to be filled
    patches = holes.patches(hole, size if isinstance(size, int) else DEFAULT_SIZE)
    areas = [patch.own.size for patch in patches]
    report = None if progress is None else rescaled(progress, sum(areas), width * height)
    for patch, area in zip(patches, areas, strict=True):
        place = patch.window.place
        view = bleed(colour[place], known[place].astype(colour.dtype))
        filled = _filled(model, view, hole[place], size, notes)
        # The depth is that of this patch alone: no other hole touches it.
        share = holes.depth(patch.own, feather + 1) / np.float32(feather + 1)
        new = mixing.mixed(colour[place], mixing.mixed(view, filled, share), strength)
        colour[place][patch.own] = new[patch.own]
        _settle(patch, hole, known)
        if report is not None:
            report(area)
    return dataclasses.replace(picture, colour=colour, notes=tuple(notes))


def _check(model: "Model", size: Size, dilate: int, feather: int, strength: float) -> None:
    card = model.card
    if card.task != "inpaint":
        raise UsageError(f"{card.name} is for {card.task!r}: it takes no mask")
    if card.domains:
        raise UsageError(f"{card.name} needs a domain beside the mask")
    sizing.check_size(size)
    mixing.check_strength(strength)
    for name, value in (("dilate", dilate), ("feather", feather)):
        if value < 0:
            raise UsageError(f"{name} must be a number of pixels from 0 on, not {value}")


def _filled(model: "Model", view: Pixels, hole: Mask, size: Size, notes: list[str]) -> Pixels:
    """The network's result for one window, at the window's size: like `view`, [h, w, C]."""
    whole = (view.shape[1], view.shape[0])

    def run(seen: tuple[int, int]) -> Pixels:
        return run_tiled(_with_mask(model, holes.reduced(hole, seen)), lanczos(view, seen), tile=None)

    seen = whole
    if isinstance(size, int) and max(whole) > size:
        seen = sizing.scaled(whole, size / max(whole))
    return lanczos(sizing.fitted(run, seen, shrink=size == "fit", note=notes.append), whole)


def _with_mask(model: "Model", hole: Mask) -> "Model":
    """The model with its mask, padded as `run_tiled` pads a picture that it runs whole."""
    grid = Grid(model.card)
    rows, columns = (grid.padded(length) for length in hole.shape)
    bound = model.bound(mask=hole[rows[:, None], columns].astype(np.float32)[None, None])
    # A mask goes with the one window that it was made for: where memory runs out, no tiles are tried.
    bound.card = dataclasses.replace(model.card, context=None)
    return bound


def _settle(patch: Patch, hole: Mask, known: Mask) -> None:
    """What has been filled is a surrounding like any other for the patches that follow."""
    place = patch.window.place
    hole[place][patch.own] = False
    known[place][patch.own] = True
