"""The reconstruction loss: weighted `objectives`, and the perceptual distance between a result and its truth."""

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
        weights: objective to weight. Objectives of weight 0 are dropped.
        perceptual: the distance between VGG19 features, used if its weight is above 0.
        signed: results are in -1..1 instead of 0..1.

    Raises:
        ConfigError: an objective is unknown or has a negative weight, or the VGG19 weights cannot be loaded.
    """

    def __init__(self, weights: Mapping[str, float], perceptual: PerceptualConfig, *, signed: bool = True) -> None:
        for name, weight in weights.items():
            if weight < 0:
                raise ConfigError(f"objectives.{name} = {weight}: a weight must not be negative")
        self.terms: dict[str, tuple[nn.Module, float]] = {}
        for name, weight in weights.items():
            if weight:
                options = {"signed": signed} if name == "ssim" else {}  # the others do not depend on the range
                self.terms[name] = objectives.build(name, **options), weight
        self.signed = signed
        self.perceptual_weight = perceptual.weight
        self.perceptual = (
            Perceptual(perceptual.layers, perceptual.criterion, perceptual.weights) if perceptual.weight else None
        )

    def __bool__(self) -> bool:
        return bool(self.terms) or self.perceptual is not None

    def __call__(self, result: Tensor, truth: Tensor) -> tuple[dict[str, Tensor], Tensor]:
        """Compare `result` with `truth`, both `[N, C, H, W]`.

        Returns:
            The unweighted terms by name, detached, and their weighted sum.
        """
        figures: dict[str, Tensor] = {}
        loss = result.new_zeros((), dtype=torch.float32)
        for name, (objective, weight) in self.terms.items():
            value = objective(result, truth)
            figures[name] = value.detach()
            loss = loss + weight * value
        if self.perceptual is not None:
            value = self.perceptual(self._to_colour(result), self._to_colour(truth))
            figures["perceptual"] = value.detach()
            loss = loss + self.perceptual_weight * value
        return figures, loss

    def _to_colour(self, picture: Tensor) -> Tensor:
        picture = picture.expand(-1, 3, -1, -1)
        return (picture + 1) / 2 if self.signed else picture
