"""Figures that the validations of several methods share. Pictures are uint8 RGB `[H, W, 3]`."""

from collections.abc import Sequence

import numpy as np
import torch
from torch import Tensor

from img2img.evaluation.results import Picture, mean, spread
from img2img.evaluation.translation import figures

__all__ = ["Picture", "distances", "diversity", "label_effect", "spread", "to_pictures", "to_rgb", "to_signed"]


def to_signed(batch: Tensor) -> Tensor:
    """uint8 0..255 as float32 -1..1, the range that translation networks work in."""
    return batch.float().div(127.5).sub(1)


def to_pictures(batch: Tensor) -> list[Picture]:
    """A batch `[N, 1 or 3, H, W]` of values -1..1 as uint8 RGB pictures, rounded."""
    values = batch.detach().float().add(1).mul(127.5).clamp(0, 255).round().byte()
    return [one.permute(1, 2, 0).expand(-1, -1, 3).cpu().numpy().copy() for one in values]


def to_rgb(picture: Picture) -> Picture:
    """`[H, W, 1 or 3]` as `[H, W, 3]`."""
    return np.ascontiguousarray(np.broadcast_to(picture, (*picture.shape[:2], 3)))


def distances(results: Sequence[Picture], truths: Sequence[Picture]) -> dict[str, float]:
    """Means over pairs of `evaluation.translation.figures`."""
    return mean(figures(*pair) for pair in zip(results, truths, strict=True))


def diversity(results: Sequence[Picture], reals: Sequence[Picture]) -> float:
    """Mean distance between two of the results as a share of that between two real pictures; 1 where it cannot be told.

    Near 0 the generator makes the same picture of whatever it is given.
    """
    spread = _spread(reals)
    return _spread(results) / spread if spread > 1e-3 else 1.0


def _spread(pictures: Sequence[Picture]) -> float:
    """Mean absolute difference of all pairs, values 0..1, each picture seen as 16x16 pixels or fewer."""
    if len(pictures) < 2:
        return 0.0
    small = torch.stack([torch.from_numpy(p.copy()).permute(2, 0, 1).float().div(255) for p in pictures])
    flat = torch.nn.functional.adaptive_avg_pool2d(small, 16).flatten(1)
    count = len(flat)
    return float(torch.cdist(flat, flat, p=1).sum() / (count * (count - 1) * flat.shape[1]))


def label_effect(results: Sequence[Sequence[Picture]]) -> float:
    """Mean absolute difference, values 0..1, between what two labels make of one picture.

    Args:
        results: for each input its results, one a label.
    """
    differences = [
        float(np.abs(row[i].astype(np.float64) - row[k]).mean()) / 255
        for row in results
        for i in range(len(row))
        for k in range(i)
    ]
    return float(np.mean(differences)) if differences else 1.0
