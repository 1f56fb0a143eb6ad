"""Blur kernels of the degradation model of Real-ESRGAN (Wang et al. 2021, sections 3.1 and 3.3).

All are float32 `[size, size]`, sum to 1 and are symmetric about their middle. `size` is odd.
"""

import numpy as np
import torch
from numpy.typing import NDArray

Kernel = NDArray[np.float32]
Plane = NDArray[np.float64]


def gaussian(size: int, sigma: float, across: float | None = None, angle: float = 0.0) -> Kernel:
    """exp(-d / 2), where d = offset' S^-1 offset and S is the covariance.

    Args:
        sigma: standard deviation in pixels along `angle`.
        across: the one at right angles to it; None: isotropic.
        angle: in radians, from the rows' direction towards the columns'.
    """
    return _unit(np.exp(-0.5 * _distance(size, sigma, across, angle)))


def generalised(size: int, beta: float, sigma: float, across: float | None = None, angle: float = 0.0) -> Kernel:
    """exp(-d^beta / 2): a Gaussian for `beta` 1, heavier tails below, a flatter top above (Pascal et al. 2013)."""
    return _unit(np.exp(-0.5 * _distance(size, sigma, across, angle) ** beta))


def plateau(size: int, beta: float, sigma: float, across: float | None = None, angle: float = 0.0) -> Kernel:
    """1 / (1 + d^beta)."""
    return _unit(1 / (1 + _distance(size, sigma, across, angle) ** beta))


def sinc(size: int, cutoff: float) -> Kernel:
    """The circular low-pass filter cut off at `cutoff` radians a pixel (pi: the highest frequency there is).

    c J1(c r) / (2 pi r), r in pixels, J1 the Bessel function of the first kind; c^2 / (4 pi) in the middle. Cut to
    `size` pixels it rings and overshoots, which is what it is for.
    """
    radius = np.sqrt(_distance(size, 1.0, None, 0.0))
    middle = size // 2
    radius[middle, middle] = 1.0
    values = cutoff / (2 * np.pi * radius) * torch.special.bessel_j1(torch.from_numpy(cutoff * radius)).numpy()
    values[middle, middle] = cutoff**2 / (4 * np.pi)
    return _unit(values)


def _distance(size: int, sigma: float, across: float | None, angle: float) -> Plane:
    offsets = np.arange(size) - size // 2
    x, y = offsets[None, :], offsets[:, None]
    along = (x * np.cos(angle) + y * np.sin(angle)) / sigma
    aside = (y * np.cos(angle) - x * np.sin(angle)) / (sigma if across is None else across)
    return np.asarray(along**2 + aside**2, np.float64)


def _unit(values: Plane) -> Kernel:
    return np.asarray(values / values.sum(), np.float32)
