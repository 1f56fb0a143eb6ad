"""MATLAB's antialiased bicubic `imresize`, which the super-resolution papers use for their low-resolution pictures."""

from functools import lru_cache

import numpy as np
from numpy.typing import NDArray


def cubic(x: NDArray[np.float64]) -> NDArray[np.float64]:
    """Evaluate Keys' cubic kernel with a = -0.5 (Keys 1981, equation 4), support [-2, 2]."""
    x = np.abs(x)
    near = 1.5 * x**3 - 2.5 * x**2 + 1
    far = -0.5 * x**3 + 2.5 * x**2 - 4 * x + 2
    return np.where(x <= 1, near, np.where(x < 2, far, 0.0))


@lru_cache(maxsize=64)
def weights(length: int, scale: float) -> NDArray[np.float32]:
    """Return the resampling matrix `[ceil(length * scale), length]`.

    Its rows sum to 1, and the picture is mirrored at its ends. Shrinking (scale < 1) widens the kernel by 1 / scale,
    which is MATLAB's antialiasing.
    """
    out = int(np.ceil(length * scale))
    stretch = min(scale, 1.0)
    centres = (np.arange(out) + 0.5) / scale - 0.5
    reach = 2 / stretch
    first = np.floor(centres - reach).astype(int)
    taps = first[:, None] + np.arange(int(np.ceil(2 * reach)) + 2)
    values = cubic((centres[:, None] - taps) * stretch)
    values /= values.sum(axis=1, keepdims=True)
    mirrored = np.mod(taps, 2 * length)
    mirrored = np.where(mirrored < length, mirrored, 2 * length - 1 - mirrored)
    matrix = np.zeros((out, length))
    np.add.at(matrix, (np.arange(out)[:, None], mirrored), values)
    return matrix.astype(np.float32)


def imresize(picture: NDArray[np.uint8], scale: float) -> NDArray[np.uint8]:
    """Resize `picture`, uint8 `[H, W, C]`, by `scale` as MATLAB does, to `[ceil(H * scale), ceil(W * scale), C]`."""
    resized = _apply(picture.astype(np.float32), weights(picture.shape[0], scale), weights(picture.shape[1], scale))
    return np.clip(np.rint(resized), 0, 255).astype(np.uint8)


def _apply(
    picture: NDArray[np.float32], rows: NDArray[np.float32], columns: NDArray[np.float32]
) -> NDArray[np.float32]:
    # Channels first: two matrix products per channel. With [H, W, 3], numpy would compute many products of width 3.
    planes = np.ascontiguousarray(picture.transpose(2, 0, 1))
    resized: NDArray[np.float32] = np.matmul(np.matmul(rows, planes), columns.T)
    return resized.transpose(1, 2, 0)


def low_and_high(
    photo: NDArray[np.uint8], top: int, left: int, size: int, scale: int
) -> tuple[NDArray[np.uint8], NDArray[np.uint8]]:
    """Return the crop of `photo` at (top, left) and its low-resolution version, exact up to the border.

    The low-resolution crop equals the same crop of the shrunk photo: the resize sees the surroundings of the crop as
    far as the kernel reaches, and mirrors only at the end of the photo.

    Args:
        photo: uint8 `[H, W, C]`.
        size: side of the high-resolution crop in pixels, a multiple of `scale`.

    Returns:
        low `[size / scale, size / scale, C]` and high `[size, size, C]`, uint8.
    """
    if scale == 1:
        high = photo[top : top + size, left : left + size]
        return high, high
    margin = 2 * scale
    height, width = photo.shape[:2]
    window = photo[
        max(top - margin, 0) : min(top + size + margin, height),
        max(left - margin, 0) : min(left + size + margin, width),
    ]
    pads = (
        (max(margin - top, 0), max(top + size + margin - height, 0)),
        (max(margin - left, 0), max(left + size + margin - width, 0)),
        (0, 0),
    )
    if any(map(any, pads)):
        window = np.pad(window, pads, mode="symmetric")
    low = imresize(window, 1 / scale)[2:-2, 2:-2]
    return low, photo[top : top + size, left : left + size]
