"""Figures that several validations share. Pictures are uint8 RGB `[H, W, 3]`."""

from collections.abc import Sequence

import numpy as np
import torch
from torch import Tensor

from img2img.evaluation.results import Picture, mean, spread
from img2img.evaluation.translation import figures

__all__ = ["Picture", "distances", "diversity", "l1", "label_effect", "spread", "to_pictures", "to_rgb", "to_signed"]


def to_signed(batch: Tensor) -> Tensor:
    """Convert uint8 0..255 to float32 -1..1, the range of translation networks."""
    return batch.float().div(127.5).sub(1)


def to_pictures(batch: Tensor) -> list[Picture]:
    """Convert a batch `[N, 1 or 3, H, W]` in -1..1 to uint8 RGB pictures, rounded."""
    values = batch.detach().float().add(1).mul(127.5).clamp(0, 255).round().byte()
    return [one.permute(1, 2, 0).expand(-1, -1, 3).cpu().numpy().copy() for one in values]


def to_rgb(picture: Picture) -> Picture:
    """Convert `[H, W, 1 or 3]` to `[H, W, 3]`."""
    return np.ascontiguousarray(np.broadcast_to(picture, (*picture.shape[:2], 3)))


def distances(results: Sequence[Picture], truths: Sequence[Picture]) -> dict[str, float]:
    """Return the means of `evaluation.translation.figures` over pairs."""
    return mean(figures(*pair) for pair in zip(results, truths, strict=True))


def l1(one: Picture, other: Picture) -> float:
    """Return the mean absolute difference of two pictures of the same size, values 0..1."""
    return float(np.abs(one.astype(np.float64) - other).mean()) / 255


def diversity(results: Sequence[Picture], reals: Sequence[Picture]) -> float:
    """Return the mean distance between two results, divided by that between two real pictures.

    Near 0, the generator makes the same picture from every input. Returns 1 if the real pictures hardly differ.
    """
    real = _mean_distance(reals)
    return _mean_distance(results) / real if real > 1e-3 else 1.0


def _mean_distance(pictures: Sequence[Picture]) -> float:
    """Return the mean absolute difference over all pairs, values 0..1. Pictures are averaged to 16x16 pixels."""
    if len(pictures) < 2:
        return 0.0
    small = torch.stack([torch.from_numpy(p.copy()).permute(2, 0, 1).float().div(255) for p in pictures])
    flat = torch.nn.functional.adaptive_avg_pool2d(small, 16).flatten(1)
    count = len(flat)
    return float(torch.cdist(flat, flat, p=1).sum() / (count * (count - 1) * flat.shape[1]))


def label_effect(results: Sequence[Sequence[Picture]]) -> float:
    """Return the mean absolute difference, values 0..1, between the results of two labels for one picture.

    Args:
        results: for each input its results, one per label.
    """
    differences = [l1(row[i], row[k]) for row in results for i in range(len(row)) for k in range(i)]
    return float(np.mean(differences)) if differences else 1.0
