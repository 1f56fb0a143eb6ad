"""InfoGAN's lower bounds on the mutual information between a latent code and the picture made with it.

Chen et al. 2016, equation 5: L_I = E[log Q(c | x)] + H(c) <= I(c; G(z, c)). A network Q estimates the code c from the
picture x. Generator and Q maximise the bound: subtract it from their loss, times a weight. The unit is the nat.
"""

import math
from typing import Literal

from torch import Tensor, nn
from torch.nn import functional as F

from img2img.errors import ConfigError

PRIORS = ("normal", "uniform")


class CategoricalInformation(nn.Module):
    """The bound for a code that is one of K categories, all equally likely: log K minus the cross-entropy.

    Chen et al. 2016, equation 5, with softmax for Q (section 6). At most log K, which needs a Q that is always right.
    """

    def forward(self, logits: Tensor, code: Tensor) -> Tensor:
        """Return the bound, a scalar in nats.

        Args:
            logits: output of Q, `[N, K]`.
            code: the category of each picture, int64 `[N]`.
        """
        return math.log(logits.shape[1]) - F.cross_entropy(logits.float(), code)


class GaussianInformation(nn.Module):
    """The bound for a code of L independent numbers, with a Gaussian of diagonal covariance for Q.

    Chen et al. 2016, equation 5 and section 6. Unbounded above, because a continuous code can be known ever better.

    Args:
        prior: what the code is drawn from: "normal", N(0, 1), or "uniform", -1..1, as in the paper.

    Raises:
        ConfigError: the prior is unknown.
    """

    def __init__(self, prior: Literal["normal", "uniform"] = "normal") -> None:
        super().__init__()
        if prior not in PRIORS:
            raise ConfigError(f"unknown prior '{prior}'; choose from {', '.join(PRIORS)}")
        # Differential entropy of one number.
        self.entropy = math.log(2) if prior == "uniform" else 0.5 * math.log(2 * math.pi * math.e)

    def forward(self, mean: Tensor, log_variance: Tensor, code: Tensor) -> Tensor:
        """Return the bound, a scalar in nats: the sum over the numbers of a code, averaged over the pictures.

        Args:
            mean, log_variance: output of Q, `[N, L]`.
            code: the code of each picture, `[N, L]`.
        """
        mean, log_variance, code = mean.float(), log_variance.float(), code.float()
        squares = (code - mean).square() * (-log_variance).exp()
        log_likelihood = -0.5 * (math.log(2 * math.pi) + log_variance + squares)
        return (log_likelihood + self.entropy).sum(1).mean()
