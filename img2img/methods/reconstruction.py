"""What a result is compared with its truth by: the weighted words of `objectives`, and the perceptual distance."""

from collections.abc import Mapping

import torch
from torch import Tensor, nn

from img2img import objectives
from img2img.errors import ConfigError
from img2img.methods.config import PerceptualConfig
from img2img.objectives.perceptual import Perceptual


class ReconstructionLoss:
    """A weighted sum of reconstruction objectives.

    Args:
        words: objective to weight; those of weight 0 are left out.
        perceptual: the distance in VGG19's features, where its weight is above 0.
        signed: results are -1..1 and not 0..1.

    Raises:
        ConfigError: an objective is unknown or has a negative weight; the perceptual distance has no weights to load.
    """

    def __init__(self, words: Mapping[str, float], perceptual: PerceptualConfig, *, signed: bool = True) -> None:
        for word, weight in words.items():
            if weight < 0:
                raise ConfigError(f"objectives.{word} = {weight}: a weight must not be negative")
        self.terms: dict[str, tuple[nn.Module, float]] = {}
        for word, weight in words.items():
            if weight:
                options = {"signed": signed} if word == "ssim" else {}  # the others are the same in every range
                self.terms[word] = objectives.build(word, **options), weight
        self.signed = signed
        self.perceptual_weight = perceptual.weight
        self.perceptual = (
            Perceptual(perceptual.layers, perceptual.criterion, perceptual.weights) if perceptual.weight else None
        )

    def __bool__(self) -> bool:
        return bool(self.terms) or self.perceptual is not None

    def __call__(self, result: Tensor, truth: Tensor) -> tuple[dict[str, Tensor], Tensor]:
        """The terms, unweighted and detached, by name; and their weighted sum. `[N, C, H, W]` both."""
        figures: dict[str, Tensor] = {}
        loss = result.new_zeros((), dtype=torch.float32)
        for word, (objective, weight) in self.terms.items():
            value = objective(result, truth)
            figures[word] = value.detach()
            loss = loss + weight * value
        if self.perceptual is not None:
            value = self.perceptual(self._colours(result), self._colours(truth))
            figures["perceptual"] = value.detach()
            loss = loss + self.perceptual_weight * value
        return figures, loss

    def _colours(self, picture: Tensor) -> Tensor:
        picture = picture.expand(-1, 3, -1, -1)
        return (picture + 1) / 2 if self.signed else picture
