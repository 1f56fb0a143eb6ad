"""The mode regulariser, for a generator G with an encoder E."""

from torch import Tensor, nn

from img2img.objectives.game import Scores
from img2img.objectives.logistic import NonSaturating


class ModeRegulariser(nn.Module):
    """-E[log D(G(E(x)))]: reconstructions of real pictures should pass for real, so that no kind of picture is missed.

    Che et al. 2017, "Mode Regularized Generative Adversarial Networks", section 3.2. The gradient of the generator's
    own pictures may never reach kinds that it does not make; reconstructions lie near all kinds that the data have.
    The other regulariser of the paper, E[d(x, G(E(x)))], is a cycle loss.
    """

    def __init__(self) -> None:
        super().__init__()
        self.objective = NonSaturating()

    def forward(self, scores: Scores) -> Tensor:
        """Return the mean over the batch and the map, summed over the scales: a scalar, at least 0.

        Args:
            scores: logits of D for the reconstructions, see `game.Scores`.
        """
        return self.objective.generator(scores)
