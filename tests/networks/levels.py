"""Small pyramids for the search of patches."""

import torch
from torch import Tensor
from torch.nn import functional as F

from img2img.networks.patch_search import Level


def picture_with_hole(seed: int = 0, top: int = 20) -> tuple[Tensor, Tensor]:
    """A smooth random picture `[1, 3, 64, 64]` of whole numbers from 0 to 255, and a hole `[1, 1, 64, 64]`."""
    noise = torch.rand(1, 3, 16, 16, generator=torch.Generator().manual_seed(seed))
    image = (F.interpolate(noise, size=(64, 64), mode="bilinear") * 255).round()
    mask = torch.zeros(1, 1, 64, 64)
    mask[:, :, top : top + 16, 24:44] = 1
    return image, mask


def levels_of(image: Tensor, mask: Tensor) -> list[Level]:
    """Three levels with sides of 16, 32 and 64 pixels. The search is dense on two of them, as in use."""
    levels = [Level(image, mask, image.mean((2, 3), keepdim=True).round().expand_as(image))]
    while len(levels) < 3:
        last = levels[0]
        smaller = (F.avg_pool2d(one, 2).round() for one in (last.image, last.guide))
        image, guide = smaller
        levels.insert(0, Level(image, F.max_pool2d(last.hole, 2), guide))
    return levels
