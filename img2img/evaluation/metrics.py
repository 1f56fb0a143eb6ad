"""PSNR and SSIM in float64, as super-resolution papers measure them: on luma, with the border cropped."""

import numpy as np
from numpy.typing import NDArray

from img2img.evaluation.blur import blur

Array = NDArray[np.float64]


def luma(picture: NDArray[np.uint8]) -> Array:
    """Y of ITU-R BT.601, 16..235, from uint8 RGB `[H, W, 3]`. Equals MATLAB's `rgb2ycbcr` before rounding."""
    weights = np.array([65.481, 128.553, 24.966]) / 255
    return picture.astype(np.float64) @ weights + 16


def psnr(a: NDArray[np.generic], b: NDArray[np.generic], *, border: int = 0) -> float:
    """Peak signal-to-noise ratio in dB of two pictures of the same shape, values 0..255; infinite if they are equal.

    Args:
        border: pixels to crop on each side; the papers use the scale.

    Raises:
        ValueError: the shapes differ, or the border leaves no pixels.
    """
    first, second = _inside(a, b, border)
    error = float(np.mean((first - second) ** 2))
    return float("inf") if error == 0 else float(10 * np.log10(255.0**2 / error))


def ssim(a: NDArray[np.generic], b: NDArray[np.generic], *, border: int = 0) -> float:
    """Mean structural similarity of two pictures `[H, W]` or `[H, W, C]`, values 0..255; channels are averaged.

    Wang et al. 2004: 11x11 Gaussian window with sigma 1.5, K1 = 0.01, K2 = 0.03, only windows inside the picture.

    Raises:
        ValueError: the shapes differ, or a side inside the border is shorter than the window.
    """
    first, second = _inside(a, b, border)
    if min(first.shape[:2]) < 11:
        raise ValueError(f"SSIM needs 11 pixels inside the border, but the picture has {min(first.shape[:2])}")
    if first.ndim == 3:
        return float(np.mean([_ssim(first[:, :, c], second[:, :, c]) for c in range(first.shape[2])]))
    return _ssim(first, second)


def _inside(a: NDArray[np.generic], b: NDArray[np.generic], border: int) -> tuple[Array, Array]:
    if a.shape != b.shape:
        raise ValueError(f"the pictures have different shapes: {a.shape} and {b.shape}")
    height, width = a.shape[:2]
    if min(height, width) <= 2 * border:
        raise ValueError(f"a border of {border} leaves no pixels of a {width}x{height} picture")
    inside = np.s_[border : height - border, border : width - border]
    return a[inside].astype(np.float64), b[inside].astype(np.float64)


def _ssim(a: Array, b: Array) -> float:
    c1, c2 = (0.01 * 255) ** 2, (0.03 * 255) ** 2
    mean_a, mean_b = _blur(a), _blur(b)
    var_a = _blur(a * a) - mean_a**2
    var_b = _blur(b * b) - mean_b**2
    covariance = _blur(a * b) - mean_a * mean_b
    similarity = (2 * mean_a * mean_b + c1) * (2 * covariance + c2)
    similarity /= (mean_a**2 + mean_b**2 + c1) * (var_a + var_b + c2)
    return float(similarity.mean())


def _blur(plane: Array) -> Array:
    x = np.arange(-5, 6)
    window = np.exp(-(x**2) / (2 * 1.5**2))
    window /= window.sum()
    return blur(plane, window)
