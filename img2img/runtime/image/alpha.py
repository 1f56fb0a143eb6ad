"""Colour under transparency.

Where a picture is fully transparent its colour is whatever the program that wrote it left there: black, white, noise. A
network that sees it smears it over the visible edge (the halo around upscaled logos). So the visible colours are spread
into the invisible part first: the push-pull pyramid of Gortler et al., The Lumigraph, 1996, section 3.4.
"""

from typing import Any

import numpy as np
import numpy.typing as npt

Pixels = npt.NDArray[Any]
Floats = npt.NDArray[np.float32]


def over(colour: Pixels, alpha: Pixels, background: tuple[int, int, int]) -> Pixels:
    """The picture laid over one colour, RGB 0..255: what a viewer shows on a page of that colour.

    colour: uint8 or uint16 [H, W, 1 or 3], straight; alpha: the same type, [H, W]. Returns [H, W, 3] of that type, or
    [H, W, 1] where picture and background are grey.
    """
    whole = np.iinfo(colour.dtype).max
    ground = np.array(background, np.float32) * (whole / 255)
    if colour.shape[2] == 1 and len(set(background)) == 1:
        ground = ground[:1]
    share = alpha[:, :, None].astype(np.float32) / whole
    return np.asarray(np.rint(colour * share + ground * (1 - share)), colour.dtype)


def bleed(colour: Pixels, alpha: Pixels) -> Pixels:
    """Replace the colour of fully transparent pixels by a smooth continuation of the visible ones near them.

    colour: uint8 or uint16 [H, W, C], straight (not premultiplied); alpha: the same type, [H, W]. Returns an array like
    `colour` whose pixels are unchanged wherever alpha > 0; `colour` itself where no pixel, or every pixel, is fully
    transparent. Visible pixels count by their alpha, so that an almost invisible fringe does not set the colour.
    """
    hidden = alpha == 0
    if not hidden.any() or hidden.all():
        return colour
    # Planes [C + 1, H, W] of premultiplied colour and, last, the weight: sums of both halve without another thought.
    planes = np.empty((colour.shape[2] + 1, *alpha.shape), np.float32)
    planes[-1] = alpha
    np.multiply(colour.transpose(2, 0, 1), planes[-1], out=planes[:-1])
    below = _grow(_spread(_halve(planes)), alpha.shape)
    np.rint(below, out=below)
    result = colour.copy()
    np.copyto(result, below.transpose(1, 2, 0), where=hidden[..., None], casting="unsafe")
    return result


def _spread(level: Floats) -> Floats:
    """Colours [C, h, w] everywhere, from premultiplied colours and weights [C + 1, h, w] that have holes."""
    weight = level[-1]
    holes = weight == 0
    colour: Floats = np.divide(level[:-1], np.maximum(weight, np.float32(1e-30)))
    if holes.any():
        # Ends at one pixel at the latest, which has no hole.
        np.copyto(colour, _grow(_spread(_halve(level)), holes.shape), where=holes)
    return colour


def _halve(level: Floats) -> Floats:
    """Mean over 2 x 2 pixels; odd sides are filled up with weight 0."""
    _, height, width = level.shape
    rows = level[:, 0::2].copy()
    rows[:, : height // 2] += level[:, 1::2]
    columns = rows[..., 0::2].copy()
    columns[..., : width // 2] += rows[..., 1::2]
    columns *= np.float32(0.25)
    return columns


def _grow(level: Floats, shape: tuple[int, ...]) -> Floats:
    """Twice as many pixels, bilinear, cut to `shape` = (height, width).

    The centres of the new pixels lie at quarters of the old ones: three parts of the pixel, one of its neighbour.
    """
    height, width = shape
    tall = np.empty((level.shape[0], 2 * level.shape[1], level.shape[2]), np.float32)
    _interleave(level, tall, 1)
    wide = np.empty((level.shape[0], height, 2 * level.shape[2]), np.float32)
    _interleave(tall[:, :height], wide, 2)
    return wide[..., :width]


def _interleave(level: Floats, out: Floats, axis: int) -> None:
    source, target = np.moveaxis(level, axis, 0), np.moveaxis(out, axis, 0)
    near, far = source * np.float32(0.75), source * np.float32(0.25)
    np.add(near[1:], far[:-1], out=target[2::2])
    np.add(near[:-1], far[1:], out=target[1:-1:2])
    target[0], target[-1] = source[0], source[-1]
