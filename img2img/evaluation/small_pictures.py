"""Pictures as the small networks of this package see them: resized to a square, then as a batch of tensors."""

from collections.abc import Sequence

import cv2
import numpy as np
import torch
from torch import Tensor

from img2img.evaluation.results import Picture


def resized(picture: Picture, side: int) -> Picture:
    """`picture`, uint8 RGB `[H, W, 3]`, squeezed to `side` x `side` pixels."""
    if picture.shape[:2] == (side, side):
        return picture
    interpolation = cv2.INTER_AREA if min(picture.shape[:2]) >= side else cv2.INTER_LINEAR
    return np.asarray(cv2.resize(np.ascontiguousarray(picture), (side, side), interpolation=interpolation), np.uint8)


def to_batch(pictures: Sequence[Picture]) -> Tensor:
    """Pictures of one size, uint8 `[H, W, 3]`, as float32 `[N, 3, H, W]` in -1..1, channels last in memory."""
    return torch.from_numpy(np.stack(pictures)).permute(0, 3, 1, 2).float().div_(127.5).sub_(1)
