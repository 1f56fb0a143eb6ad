"""The steps of a degradation, each a plain function. Pictures are float32 BGR `[H, W, 3]`, 0..1."""

import math
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from img2img.data.kernels import Kernel

# OpenCV's threads gain nothing at these sizes, compete with the data workers, and hang in forked processes.
cv2.setNumThreads(0)

Pixels = NDArray[np.uint8]
Floats = NDArray[np.float32]

INTERPOLATION = {"area": cv2.INTER_AREA, "bilinear": cv2.INTER_LINEAR, "bicubic": cv2.INTER_CUBIC}
"""As in torch, which the authors used: no antialiasing, a = -0.75 for bicubic, aligned at pixel centres."""

NEGLIGIBLE = 1e-6
"""Kernel rows and columns below this share of the peak are dropped. Smaller kernels are several times faster."""


def convolve(picture: Floats, kernel: Kernel) -> Floats:
    """Convolve `picture` with `kernel`. The picture is mirrored at its border without repeating the border pixels."""
    weights = np.abs(kernel) > NEGLIGIBLE * np.abs(kernel).max()
    top, left = (int(np.argmax(weights.any(axis=axis))) for axis in (1, 0))
    kernel = kernel[top : len(kernel) - top, left : len(kernel) - left]
    return np.asarray(cv2.filter2D(picture, -1, kernel, borderType=cv2.BORDER_REFLECT_101), np.float32)


def resize(picture: Floats, size: tuple[int, int], interpolation: str) -> Floats:
    """Resize `picture` to `size`, height and width, by a filter in INTERPOLATION."""
    return np.asarray(cv2.resize(picture, (size[1], size[0]), interpolation=INTERPOLATION[interpolation]), np.float32)


def add_gaussian_noise(picture: Floats, sigma: float, *, grey: bool, rng: np.random.Generator) -> Floats:
    """Add Gaussian noise with standard deviation `sigma`, 0..255, and clip to 0..1.

    If `grey`, all channels get the same noise.
    """
    shape = (*picture.shape[:2], 1) if grey else picture.shape
    return np.clip(picture + rng.standard_normal(shape, dtype=np.float32) * np.float32(sigma / 255), 0, 1)


def add_poisson_noise(
    picture: Floats, strength: float, *, grey: bool, min_levels: int, rng: np.random.Generator
) -> Floats:
    """Add `strength` times the shot noise of `picture` and clip to 0..1.

    If `grey`, all channels get the same noise. Full white corresponds to as many quanta as the picture has 8-bit
    levels, at least `min_levels`, rounded up to a power of two. The published code and scikit-image follow the same
    rule.
    """
    source = np.asarray(cv2.cvtColor(picture, cv2.COLOR_BGR2GRAY), np.float32)[:, :, None] if grey else picture
    levels = to_bytes(source)
    found = int(np.count_nonzero(np.bincount(levels.ravel(), minlength=256)))
    quanta = 2.0 ** math.ceil(math.log2(max(found, min_levels)))
    clean = levels * np.float32(1 / 255)
    noise = np.asarray(rng.poisson(clean * quanta) / quanta - clean, np.float32)
    return np.clip(picture + noise * np.float32(strength), 0, 1)


def add_chroma_noise(picture: Floats, sigma: float, *, side: int, rng: np.random.Generator) -> Floats:
    """Add Gaussian noise with standard deviation `sigma`, 0..255, to Cb and Cr, and clip to 0..1. Y keeps its values.

    Values are drawn for every `side` pixels and interpolated, so that the noise is blotchy if `side` is above 1.
    """
    height, width = picture.shape[:2]
    drawn = rng.standard_normal((-(-height // side), -(-width // side), 2), dtype=np.float32)
    noise = np.zeros((height, width, 3), np.float32)
    noise[..., 1:] = cv2.resize(drawn, (width, height), interpolation=cv2.INTER_LINEAR) * np.float32(sigma / 255)
    noisy = cv2.cvtColor(picture, cv2.COLOR_BGR2YCrCb) + noise
    return np.clip(np.asarray(cv2.cvtColor(noisy, cv2.COLOR_YCrCb2BGR), np.float32), 0, 1)


def compress_jpeg(picture: Floats, quality: int, *, full_chroma: bool = False) -> Floats:
    """Compress and decode `picture` as a JPEG of `quality` 1..100.

    Chroma has half the resolution (4:2:0), or with `full_chroma` all of it (4:4:4).
    """
    sampling = cv2.IMWRITE_JPEG_SAMPLING_FACTOR_444 if full_chroma else cv2.IMWRITE_JPEG_SAMPLING_FACTOR_420
    settings = [cv2.IMWRITE_JPEG_QUALITY, quality, cv2.IMWRITE_JPEG_SAMPLING_FACTOR, sampling]
    _, encoded = cv2.imencode(".jpg", to_bytes(picture), settings)
    return _to_floats(cv2.imdecode(encoded, cv2.IMREAD_COLOR))


def sharpen(photo: Pixels, *, weight: float = 0.5, radius: int = 25, threshold: float = 10.0) -> Pixels:
    """Sharpen the edges of `photo`, uint8 `[H, W, 3]`, by unsharp masking.

    The result is the target of Real-ESRGAN's pixel and perceptual objectives ("sharpened ground-truth images" in Wang
    et al. 2021).

    Args:
        weight: weight of the difference to the blurred photo, which is added.
        radius: radius of the blur in pixels; OpenCV derives sigma as 0.3 (radius - 1) + 0.8.
        threshold: smallest difference, on a scale of 255, that counts as an edge. The map of edges is blurred too.
    """

    def blur(picture: Floats) -> Floats:
        side = 2 * radius + 1
        return np.asarray(cv2.GaussianBlur(picture, (side, side), 0, borderType=cv2.BORDER_REFLECT_101), np.float32)

    picture = np.ascontiguousarray(photo).astype(np.float32)
    detail = picture - blur(picture)
    edges = blur((np.abs(detail) > threshold).astype(np.float32))
    sharp = np.clip(picture + weight * detail, 0, 255)
    return np.rint(picture + edges * (sharp - picture)).astype(np.uint8)


def from_rgb(photo: Pixels) -> Floats:
    """Convert uint8 RGB `[H, W, 3]` to the format of the steps."""
    return _to_floats(cv2.cvtColor(np.ascontiguousarray(photo), cv2.COLOR_RGB2BGR))


def to_rgb(picture: Floats) -> Pixels:
    """Convert the format of the steps to uint8 RGB `[H, W, 3]`, rounded."""
    return np.asarray(cv2.cvtColor(to_bytes(picture), cv2.COLOR_BGR2RGB), np.uint8)


def to_bytes(picture: Floats) -> Pixels:
    return np.rint(np.clip(picture, 0, 1) * 255).astype(np.uint8)


def _to_floats(picture: Any) -> Floats:
    return np.asarray(picture, np.float32) * np.float32(1 / 255)
