"""The features of the objects of a training set, from which pix2pixHD's clusters are made."""

from collections.abc import Sequence

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from img2img.data import jitter
from img2img.evaluation.results import spread
from img2img.methods.figures import to_signed
from img2img.networks.label_maps import region_means

PICTURES = 100
"""Training pictures whose objects are encoded at most."""

LEAST_AREA = 1 / 64
"""Share of the picture above which an object counts, as in the official code. If a class has none, all count."""

Pixels = NDArray[np.uint8]


def regions_of(source: Tensor) -> Tensor:
    """Return the number of the object at each pixel, int64 `[N, 1, H, W]`: its instance, or its class if the label maps
    `source`, uint8 `[N, 1 or 3, H, W]`, have no instances (`PairedSet.instances`).
    """
    numbers = source.long()
    return numbers if numbers.shape[1] == 1 else numbers[:, 1:2] * 256 + numbers[:, 2:3]


@torch.no_grad()
def object_features(encoder: nn.Module, pairs: Sequence[tuple[Pixels, Pixels]]) -> dict[int, Tensor]:
    """Return the mean features of the objects in `pairs`, by class, `[M, F]`.

    Args:
        encoder: takes pictures in -1..1, whose sides are multiples of its `multiple`.
        pairs: label map, perhaps with instances, and picture.
    """
    device = next(encoder.parameters()).device
    large: dict[int, list[Tensor]] = {}
    small: dict[int, list[Tensor]] = {}
    for place in spread(range(len(pairs)), PICTURES):
        source, target = pairs[place]
        height, width = (side // encoder.multiple * encoder.multiple for side in source.shape[:2])
        source, target = source[:height, :width], target[:height, :width]
        regions = regions_of(jitter.to_tensor(source)[None])
        found = encoder(to_signed(jitter.to_tensor(target)[None].to(device)))
        means = region_means(found.cpu(), regions)[0].flatten(1)
        _, first, counts = np.unique(regions.numpy().ravel(), return_index=True, return_counts=True)
        for pixel, count in zip(first.tolist(), counts.tolist(), strict=True):
            kept = large if count > LEAST_AREA * height * width else small
            kept.setdefault(int(source[..., 0].flat[pixel]), []).append(means[:, pixel])
    return {one: torch.stack(values) for one, values in {**small, **large}.items()}
