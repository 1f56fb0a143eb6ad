"""Luminance and chroma of colour tensors: YCbCr (ITU-R BT.601, full range), as in JPEG."""

import torch
from torch import Tensor

from img2img.runtime.image.luminance import LUMA_WEIGHTS


def luma(image: Tensor) -> Tensor:
    """RGB `[N, 3, H, W]` as grey `[N, 1, H, W]`."""
    red, green, blue = LUMA_WEIGHTS
    return red * image[:, :1] + green * image[:, 1:2] + blue * image[:, 2:]


def chroma(image: Tensor) -> Tensor:
    """Cb and Cr, `[N, 2, H, W]`, of RGB `[N, 3, H, W]`: 0 for grey, and at most half the range of `image`."""
    red, _, blue = LUMA_WEIGHTS
    grey = luma(image)
    return torch.cat(((image[:, 2:] - grey) / (2 * (1 - blue)), (image[:, :1] - grey) / (2 * (1 - red))), 1)


def colour_change(chroma: Tensor) -> Tensor:
    """What `chroma`, `[N, 2, H, W]`, adds to red, green and blue of a grey picture, `[N, 3, H, W]`. Its luma is 0."""
    red, green, blue = LUMA_WEIGHTS
    from_blue, from_red = 2 * (1 - blue) * chroma[:, :1], 2 * (1 - red) * chroma[:, 1:]
    return torch.cat((from_red, -(red * from_red + blue * from_blue) / green, from_blue), 1)
