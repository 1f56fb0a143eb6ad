"""How well holes are filled, averaged over several pictures."""

from collections.abc import Sequence

from img2img.evaluation.inpainting import Mask, figures, ssim_map, telea
from img2img.evaluation.results import mean
from img2img.methods.figures import Picture

__all__ = ["Mask", "hole_figures", "ssim_map", "telea"]


def hole_figures(results: Sequence[Picture], truths: Sequence[Picture], masks: Sequence[Mask]) -> dict[str, float]:
    """Return the means over pictures of `evaluation.inpainting.figures`, which measure the holes only."""
    return mean(figures(*one) for one in zip(results, truths, masks, strict=True))
