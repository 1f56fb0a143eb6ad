"""Blur kernels of Real-ESRGAN's degradation model (Wang et al. 2021, sections 3.1 and 3.3).

All kernels are float32 `[size, size]` with odd `size`, sum to 1 and are symmetric about their middle.
"""

import numpy as np
import torch
from numpy.typing import NDArray

Kernel = NDArray[np.float32]
Plane = NDArray[np.float64]


def gaussian(size: int, sigma: float, across: float | None = None, angle: float = 0.0) -> Kernel:
    """Gaussian kernel exp(-d / 2), with d = offset' S^-1 offset and the covariance S.

    Args:
        sigma: standard deviation in pixels along `angle`.
        across: standard deviation perpendicular to `angle`; None: isotropic.
        angle: in radians, from the direction of the rows towards that of the columns.
    """
    return _normalise(np.exp(-0.5 * _distance(size, sigma, across, angle)))


def generalised(size: int, beta: float, sigma: float, across: float | None = None, angle: float = 0.0) -> Kernel:
    """Generalised Gaussian exp(-d^beta / 2): a Gaussian for beta = 1, heavier tails below, a flatter top above.

    Pascal et al. 2013.
    """
    return _normalise(np.exp(-0.5 * _distance(size, sigma, across, angle) ** beta))


def plateau(size: int, beta: float, sigma: float, across: float | None = None, angle: float = 0.0) -> Kernel:
    """Plateau-shaped kernel 1 / (1 + d^beta)."""
    return _normalise(1 / (1 + _distance(size, sigma, across, angle) ** beta))


def sinc(size: int, cutoff: float) -> Kernel:
    """Circular low-pass filter with `cutoff` in radians per pixel; pi is the highest possible frequency.

    c J1(c r) / (2 pi r) with r in pixels and the Bessel function J1 of the first kind; c^2 / (4 pi) in the middle.
    Truncated to `size` pixels, it rings and overshoots. That is its purpose.
    """
    radius = np.sqrt(_distance(size, 1.0, None, 0.0))
    middle = size // 2
    radius[middle, middle] = 1.0
    values = cutoff / (2 * np.pi * radius) * torch.special.bessel_j1(torch.from_numpy(cutoff * radius)).numpy()
    values[middle, middle] = cutoff**2 / (4 * np.pi)
    return _normalise(values)


def _distance(size: int, sigma: float, across: float | None, angle: float) -> Plane:
    offsets = np.arange(size) - size // 2
    x, y = offsets[None, :], offsets[:, None]
    along = (x * np.cos(angle) + y * np.sin(angle)) / sigma
    aside = (y * np.cos(angle) - x * np.sin(angle)) / (sigma if across is None else across)
    return np.asarray(along**2 + aside**2, np.float64)


def _normalise(values: Plane) -> Kernel:
    return np.asarray(values / values.sum(), np.float32)
