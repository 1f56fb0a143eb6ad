"""Handles transparency: replaces invisible colours, and composites pictures over a background.

Fully transparent pixels have arbitrary colours: black, white, or noise, depending on the program that wrote the file. A
network smears these colours over the visible edge, which causes the halo around upscaled logos. `bleed` therefore
spreads the visible colours into the invisible part first. It uses the push-pull pyramid of Gortler et al., The
Lumigraph, 1996, section 3.4.
"""

from typing import Any

import numpy as np
import numpy.typing as npt

Pixels = npt.NDArray[Any]
Floats = npt.NDArray[np.float32]


def over(colour: Pixels, alpha: Pixels, background: tuple[int, int, int]) -> Pixels:
    """Composite the picture over a colour, RGB 0..255, like a viewer with a background of that colour.

    colour: uint8 or uint16 [H, W, 1 or 3], straight; alpha: the same type, [H, W]. Returns [H, W, 3] of that type, or
    [H, W, 1] if picture and background are grey.
    """
    whole = np.iinfo(colour.dtype).max
    ground = np.array(background, np.float32) * (whole / 255)
    if colour.shape[2] == 1 and len(set(background)) == 1:
        ground = ground[:1]
    share = alpha[:, :, None].astype(np.float32) / whole
    return np.asarray(np.rint(colour * share + ground * (1 - share)), colour.dtype)


def bleed(colour: Pixels, alpha: Pixels) -> Pixels:
    """Replace the colour of fully transparent pixels by a smooth continuation of the visible colours near them.

    colour: uint8 or uint16 [H, W, C], straight (not premultiplied); alpha: the same type, [H, W]. Returns an array like
    `colour` whose pixels are unchanged where alpha > 0; returns `colour` itself if no pixel, or every pixel, is fully
    transparent. Visible pixels are weighted by their alpha, so that an almost invisible fringe has little effect.
    """
    hidden = alpha == 0
    if not hidden.any() or hidden.all():
        return colour
    # Planes [C + 1, H, W]: premultiplied colours, and the weight last. Both can be averaged in the same way.
    planes = np.empty((colour.shape[2] + 1, *alpha.shape), np.float32)
    planes[-1] = alpha
    np.multiply(colour.transpose(2, 0, 1), planes[-1], out=planes[:-1])
    below = _grow(_spread(_halve(planes)), alpha.shape)
    np.rint(below, out=below)
    result = colour.copy()
    np.copyto(result, below.transpose(1, 2, 0), where=hidden[..., None], casting="unsafe")
    return result


def _spread(level: Floats) -> Floats:
    """Fill the holes (weight 0) in premultiplied colours and weights [C + 1, h, w]; returns colours [C, h, w]."""
    weight = level[-1]
    holes = weight == 0
    colour: Floats = np.divide(level[:-1], np.maximum(weight, np.float32(1e-30)))
    if holes.any():
        # The recursion ends at one pixel at the latest, because that has no hole.
        np.copyto(colour, _grow(_spread(_halve(level)), holes.shape), where=holes)
    return colour


def _halve(level: Floats) -> Floats:
    """Average 2 x 2 pixels; odd sides are padded with weight 0."""
    _, height, width = level.shape
    rows = level[:, 0::2].copy()
    rows[:, : height // 2] += level[:, 1::2]
    columns = rows[..., 0::2].copy()
    columns[..., : width // 2] += rows[..., 1::2]
    columns *= np.float32(0.25)
    return columns


def _grow(level: Floats, shape: tuple[int, ...]) -> Floats:
    """Double both sides bilinearly and crop to `shape` = (height, width).

    The centres of the new pixels are at quarters of the old ones: 3/4 of the pixel plus 1/4 of its neighbour.
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
