"""Shows HDR pictures to networks that know ordinary photos.

A PQ picture (SMPTE ST 2084) encodes up to 10 000 cd/m2, so that ordinary tones look dark and flat to a network. It is
converted to sRGB with compressed highlights, run, and converted back. HLG (BT.2100) needs none of that: it was made to
look right on ordinary screens.
"""

import dataclasses
from collections.abc import Callable
from typing import Any

import numpy as np
import numpy.typing as npt

from img2img.runtime.image import icc
from img2img.runtime.image.depth import to_8_bits
from img2img.runtime.image.pictures import Picture

Floats = npt.NDArray[np.float64]

WHITE = 203.0  # cd/m2 of white in an ordinary scene (ITU-R BT.2408)
_M1, _M2, _C1, _C2, _C3 = 2610 / 16384, 2523 / 32, 3424 / 4096, 2413 / 128, 2392 / 128  # SMPTE ST 2084
_LARGEST = 65535


def in_working_range(task: Callable[[Picture], Picture], picture: Picture) -> Picture:
    """Run a task on a PQ picture (`Picture.is_pq`) in the range that networks know."""
    peak = _peak(picture)
    converted = _shown(picture, peak)
    return _stored(task(converted), converted, picture, peak)


def shown(picture: Picture) -> Picture:
    """A PQ picture in sRGB with 16 bits, as networks see it."""
    return _shown(picture, _peak(picture))


def _peak(picture: Picture) -> float:
    """The brightest value of a PQ picture, in multiples of WHITE, at least 1."""
    return max(float(_light(np.array(picture.colour.max() / np.iinfo(picture.colour.dtype).max))), WHITE) / WHITE


def _shown(picture: Picture, peak: float) -> Picture:
    """The picture in sRGB with 16 bits. `peak` is its brightest value, in multiples of WHITE."""
    codes = np.linspace(0, 1, int(np.iinfo(picture.colour.dtype).max) + 1)
    light = np.minimum(_light(codes) / WHITE, peak)
    compressed = light * (1 + light / peak**2) / (1 + light)  # Reinhard et al. 2002, equation 4: peak becomes 1
    alpha = picture.alpha
    if alpha is not None and alpha.dtype == np.uint8:
        alpha = alpha.astype(np.uint16) * np.uint16(257)
    return dataclasses.replace(picture, colour=_table(_srgb(compressed))[picture.colour], alpha=alpha)


def _stored(result: Picture, shown: Picture, picture: Picture, peak: float) -> Picture:
    """The result in PQ, with the bits of `picture`. Pixels that the task has not changed stay the same."""
    compressed = icc.srgb_light(np.linspace(0, 1, _LARGEST + 1))
    rest = 1 - compressed
    light = peak**2 / 2 * (np.sqrt(rest**2 + 4 * compressed / peak**2) - rest)
    table = _table(_pq(light * WHITE))
    colour: Any = table[result.colour]
    alpha = result.alpha
    if picture.colour.dtype == np.uint8:
        colour, alpha = to_8_bits(colour), None if alpha is None else to_8_bits(alpha)
    if result.colour.shape == shown.colour.shape:
        colour = np.where(result.colour == shown.colour, picture.colour, colour)
    note = "its PQ colours were converted to the network's range and back"
    return dataclasses.replace(result, colour=colour, alpha=alpha, notes=(*result.notes, note))


def _table(values: Floats) -> npt.NDArray[np.uint16]:
    return np.rint(np.clip(values, 0, 1) * _LARGEST).astype(np.uint16)


def _light(encoded: Floats) -> Floats:
    """cd/m2 of PQ values, 0..1."""
    root = encoded ** (1 / _M2)
    light: Floats = 10_000 * (np.maximum(root - _C1, 0) / (_C2 - _C3 * root)) ** (1 / _M1)
    return light


def _pq(light: Floats) -> Floats:
    """PQ values, 0..1, of cd/m2."""
    power = np.clip(light / 10_000, 0, 1) ** _M1
    encoded: Floats = ((_C1 + _C2 * power) / (1 + _C3 * power)) ** _M2
    return encoded


def _srgb(light: Floats) -> Floats:
    encoded: Floats = np.where(light <= 0.0031308, light * 12.92, 1.055 * light ** (1 / 2.4) - 0.055)
    return encoded
