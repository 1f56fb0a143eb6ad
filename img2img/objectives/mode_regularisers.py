"""The two regularisers of mode-regularised GANs, for a generator G with an encoder E.

Che et al. 2017, "Mode Regularized Generative Adversarial Networks". Both judge G(E(x)), the reconstruction of a real
picture x, and are part of the generator's and of the encoder's loss. They are unweighted.
"""

from typing import Literal

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from img2img.errors import ConfigError
from img2img.objectives.game import Scores


class GeometricMetrics(nn.Module):
    """E[d(x, G(E(x)))], a distance between real pictures and their reconstructions.

    Che et al. 2017, section 3.1.

    Args:
        distance: "l2", the mean squared difference (the paper's choice for pixels), or "l1", the mean absolute one.

    Raises:
        ConfigError: the distance is unknown.
    """

    def __init__(self, distance: Literal["l1", "l2"] = "l2") -> None:
        super().__init__()
        if distance not in ("l1", "l2"):
            raise ConfigError(f"unknown distance '{distance}'; choose from l1, l2")
        self.distance = distance

    def forward(self, real: Tensor, reconstructed: Tensor) -> Tensor:
        """Return the mean distance, a scalar, for pictures or features of one shape `[N, ...]`."""
        compare = F.mse_loss if self.distance == "l2" else F.l1_loss
        return compare(reconstructed.float(), real.float())


class ModeRegulariser(nn.Module):
    """-E[log D(G(E(x)))]: reconstructions of real pictures should pass for real, so that no kind of picture is missed.

    Che et al. 2017, section 3.2. The gradient of the generator's own pictures may never reach kinds that it does not
    make; reconstructions lie near all kinds that the data have.
    """

    def forward(self, scores: Scores) -> Tensor:
        """Return the mean over the batch and the map, summed over the scales: a scalar, at least 0.

        Args:
            scores: logits of D for the reconstructions, see `game.Scores`.
        """
        each = [scores] if isinstance(scores, Tensor) else scores
        return torch.stack([F.softplus(-score.float()).mean() for score in each]).sum()
