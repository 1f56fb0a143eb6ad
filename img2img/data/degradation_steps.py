"""The steps of a degradation, each a plain function of a picture. Pictures are float32 BGR `[H, W, 3]`, 0..1."""

import math
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from img2img.data.kernels import Kernel

# Its threads gain nothing at these sizes, compete with the data workers, and hang in processes that are forked.
cv2.setNumThreads(0)

Pixels = NDArray[np.uint8]
Floats = NDArray[np.float32]

INTERPOLATION = {"area": cv2.INTER_AREA, "bilinear": cv2.INTER_LINEAR, "bicubic": cv2.INTER_CUBIC}
"""None of them antialiases, bicubic's a is -0.75, centres are those of pixels: as in torch, which the authors used."""

NEGLIGIBLE = 1e-6
"""Rows and columns of a kernel below this part of its peak are left out: small ones are several times faster."""


def convolved(picture: Floats, kernel: Kernel) -> Floats:
    """`picture` after `kernel`, mirrored at its border without repeating the border itself."""
    weights = np.abs(kernel) > NEGLIGIBLE * np.abs(kernel).max()
    top, left = (int(np.argmax(weights.any(axis=axis))) for axis in (1, 0))
    kernel = kernel[top : len(kernel) - top, left : len(kernel) - left]
    return np.asarray(cv2.filter2D(picture, -1, kernel, borderType=cv2.BORDER_REFLECT_101), np.float32)


def resized(picture: Floats, size: tuple[int, int], how: str) -> Floats:
    """`picture` with `size`, height and width; `how` is one of INTERPOLATION."""
    return np.asarray(cv2.resize(picture, (size[1], size[0]), interpolation=INTERPOLATION[how]), np.float32)


def gaussian_noise(picture: Floats, sigma: float, *, grey: bool, rng: np.random.Generator) -> Floats:
    """`picture` with noise of `sigma` 0..255, `grey`: the same in all channels; cut to 0..1."""
    shape = (*picture.shape[:2], 1) if grey else picture.shape
    return np.clip(picture + rng.standard_normal(shape, dtype=np.float32) * np.float32(sigma / 255), 0, 1)


def poisson_noise(picture: Floats, strength: float, *, grey: bool, fewest: int, rng: np.random.Generator) -> Floats:
    """`picture` with `strength` times its shot noise, `grey`: the same in all channels; cut to 0..1.

    Full white is as many quanta as the picture has levels of 8 bits, `fewest` at least, rounded up to a power of two:
    the rule of the published code and of scikit-image.
    """
    source = np.asarray(cv2.cvtColor(picture, cv2.COLOR_BGR2GRAY), np.float32)[:, :, None] if grey else picture
    levels = to_bytes(source)
    found = int(np.count_nonzero(np.bincount(levels.ravel(), minlength=256)))
    quanta = 2.0 ** math.ceil(math.log2(max(found, fewest)))
    clean = levels * np.float32(1 / 255)
    noise = np.asarray(rng.poisson(clean * quanta) / quanta - clean, np.float32)
    return np.clip(picture + noise * np.float32(strength), 0, 1)


def jpeg(picture: Floats, quality: int) -> Floats:
    """`picture` through a JPEG file of `quality` 1..100 with colours at half the resolution (4:2:0)."""
    settings = [cv2.IMWRITE_JPEG_QUALITY, quality]
    settings += [cv2.IMWRITE_JPEG_SAMPLING_FACTOR, cv2.IMWRITE_JPEG_SAMPLING_FACTOR_420]
    _, encoded = cv2.imencode(".jpg", to_bytes(picture), settings)
    return _to_floats(cv2.imdecode(encoded, cv2.IMREAD_COLOR))


def sharpened(photo: Pixels, *, weight: float = 0.5, radius: int = 25, threshold: float = 10.0) -> Pixels:
    """`photo`, uint8 `[H, W, 3]`, after unsharp masking where it has edges: the target of Real-ESRGAN's pixel and
    perceptual objectives ("sharpened ground-truth images" in Wang et al. 2021).

    Args:
        weight: of the difference to the blurred photo, which is added.
        radius: of the blur in pixels; sigma follows as OpenCV's 0.3 (radius - 1) + 0.8.
        threshold: smallest difference, of 255, that counts as an edge; the map of edges is blurred as well.
    """

    def blurred(picture: Floats) -> Floats:
        side = 2 * radius + 1
        return np.asarray(cv2.GaussianBlur(picture, (side, side), 0, borderType=cv2.BORDER_REFLECT_101), np.float32)

    picture = np.ascontiguousarray(photo).astype(np.float32)
    detail = picture - blurred(picture)
    edges = blurred((np.abs(detail) > threshold).astype(np.float32))
    sharp = np.clip(picture + weight * detail, 0, 255)
    return np.rint(picture + edges * (sharp - picture)).astype(np.uint8)


def from_rgb(photo: Pixels) -> Floats:
    """uint8 RGB `[H, W, 3]` as the steps take it."""
    return _to_floats(cv2.cvtColor(np.ascontiguousarray(photo), cv2.COLOR_RGB2BGR))


def to_rgb(picture: Floats) -> Pixels:
    """What the steps give as uint8 RGB `[H, W, 3]`, rounded."""
    return np.asarray(cv2.cvtColor(to_bytes(picture), cv2.COLOR_BGR2RGB), np.uint8)


def to_bytes(picture: Floats) -> Pixels:
    return np.rint(np.clip(picture, 0, 1) * 255).astype(np.uint8)


def _to_floats(picture: Any) -> Floats:
    return np.asarray(picture, np.float32) * np.float32(1 / 255)
