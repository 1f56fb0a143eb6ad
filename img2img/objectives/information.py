"""InfoGAN's lower bound on the mutual information between a latent code and the picture made with it.

Chen et al. 2016, equation 5: L_I = E[log Q(c | x)] + H(c) <= I(c; G(z, c)). A network Q estimates the code c from the
picture x. Generator and Q maximise the bound: subtract it from their loss, times a weight. The unit is the nat.
"""

import math

from torch import Tensor, nn

ENTROPY = 0.5 * math.log(2 * math.pi * math.e)
"""Differential entropy of one number from N(0, 1), in nats."""


class Information(nn.Module):
    """The bound for a code of L independent numbers from N(0, 1), with a Gaussian of diagonal covariance for Q.

    Chen et al. 2016, equation 5 and section 6. Unbounded above, because a continuous code can be known ever better.
    """

    def forward(self, estimate: Tensor, code: Tensor) -> Tensor:
        """Return the bound, a scalar in nats: the sum over the numbers of a code, averaged over the pictures.

        Args:
            estimate: output of Q, `[N, 2 * L]`: the means, then the logarithms of the variances.
            code: the code of each picture, `[N, L]`.
        """
        mean, log_variance = estimate.float().chunk(2, 1)
        squares = (code.float() - mean).square() * (-log_variance).exp()
        log_likelihood = -0.5 * (math.log(2 * math.pi) + log_variance + squares)
        return (log_likelihood + ENTROPY).sum(1).mean()
