"""What can be had without a model: bicubic enlargement, a copy of the input, and Telea's inpainting."""

from __future__ import annotations

import numpy as np
from PIL import Image

from img2img.data.bicubic import imresize
from img2img.errors import ModelError
from img2img.evaluation.comparison.rgb import Pixels
from img2img.types import Mask

BASELINES = BICUBIC, TELEA, COPY = "bicubic", "telea", "copy"


def bicubic(picture: Pixels, size: tuple[int, int]) -> Pixels:
    """Resize to (width, height). Whole factors use MATLAB's filter, as `img2img evaluate` does."""
    height, width = picture.shape[:2]
    if (width, height) == size:
        return picture
    factor = size[0] // width
    if (width * factor, height * factor) == size:
        return imresize(picture, float(factor))
    return np.asarray(Image.fromarray(picture).resize(size, Image.Resampling.BICUBIC))


def copy(picture: Pixels, size: tuple[int, int]) -> Pixels:
    """The picture itself, at another size by repeating pixels."""
    height, width = picture.shape[:2]
    if (width, height) == size:
        return picture
    return np.asarray(Image.fromarray(picture).resize(size, Image.Resampling.NEAREST))


def telea(picture: Pixels, hole: Mask) -> Pixels:
    """Fill the hole from its edge inwards (Telea 2004)."""
    from img2img.evaluation import inpainting

    return inpainting.telea(picture, hole.astype(np.uint8))


def require_opencv() -> None:
    """Raise ModelError if `telea` cannot run here."""
    try:
        import img2img.evaluation.inpainting  # noqa: F401
    except ImportError as error:
        hint = "pip install 'img2img[train]', or omit --with telea"
        raise ModelError(f"the baseline telea needs OpenCV: {hint}", hint=hint) from error
