"""How well holes were filled: figures of the holes alone, and what can be had without learning."""

from collections.abc import Sequence

import cv2
import numpy as np
from numpy.typing import NDArray

from img2img.methods.figures import Picture

Mask = NDArray[np.uint8]

TELEA_RADIUS = 3
"""Neighbourhood in pixels, as in OpenCV's own examples."""


def telea(photo: Picture, mask: Mask) -> Picture:
    """The hole filled from its edge inwards (Telea 2004): what can be had without learning."""
    return np.asarray(cv2.inpaint(photo, mask, TELEA_RADIUS, cv2.INPAINT_TELEA), np.uint8)


def hole_figures(results: Sequence[Picture], truths: Sequence[Picture], masks: Sequence[Mask]) -> dict[str, float]:
    """Means over pictures of what lies in the holes; pixels outside count nothing.

    `psnr` in dB (at most 100), `ssim` (the map of Wang et al. 2004, RGB, its values at the pixels of the hole; their
    windows look beyond its edge), `l1` (0..1), and `sharpness`, the mean difference of neighbours in the hole as a
    share of the truths': below 1 blurred, above 1 noisy.
    """
    squared, absolute, similar = [], [], []
    steep = {"result": 0.0, "truth": 0.0}
    for result, truth, mask in zip(results, truths, masks, strict=True):
        hole = mask > 0
        a, b = result.astype(np.float64), truth.astype(np.float64)
        squared.append(float(np.mean((a - b)[hole] ** 2)))
        absolute.append(float(np.mean(np.abs(a - b)[hole])) / 255)
        similar.append(float(ssim_map(a, b)[hole].mean()))
        steep["result"] += _gradient(a, hole)
        steep["truth"] += _gradient(b, hole)
    return {
        "psnr": float(np.mean([min(10 * np.log10(255.0**2 / max(error, 1e-12)), 100.0) for error in squared])),
        "ssim": float(np.mean(similar)),
        "l1": float(np.mean(absolute)),
        "sharpness": steep["result"] / max(steep["truth"], 1e-12),
    }


def ssim_map(a: NDArray[np.float64], b: NDArray[np.float64]) -> NDArray[np.float64]:
    """Structural similarity at every pixel of two pictures `[H, W, C]`, values 0..255, channels averaged: `[H, W]`.

    As `evaluation.metrics.ssim`, whose mean is that of the windows that lie whole inside; here, beyond its border the
    picture is mirrored.
    """
    c1, c2 = (0.01 * 255) ** 2, (0.03 * 255) ** 2
    mean_a, mean_b = _blur(a), _blur(b)
    variances = _blur(a * a) - mean_a**2 + _blur(b * b) - mean_b**2
    covariance = _blur(a * b) - mean_a * mean_b
    similarity = (2 * mean_a * mean_b + c1) * (2 * covariance + c2)
    similarity /= (mean_a**2 + mean_b**2 + c1) * (variances + c2)
    return np.asarray(similarity.mean(2))


def _blur(picture: NDArray[np.float64]) -> NDArray[np.float64]:
    return np.asarray(cv2.GaussianBlur(picture, (11, 11), 1.5), np.float64)


def _gradient(picture: NDArray[np.float64], hole: NDArray[np.bool_]) -> float:
    """Mean absolute difference of neighbours that both lie in the hole."""
    grey = picture.mean(2)
    across, down = (np.abs(np.diff(grey, axis=axis)) for axis in (1, 0))
    both = (hole[:, 1:] & hole[:, :-1], hole[1:] & hole[:-1])
    return sum(float(step[inside].mean()) for step, inside in zip((across, down), both, strict=True) if inside.any())
