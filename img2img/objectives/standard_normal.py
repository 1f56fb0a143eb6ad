"""The distance between the distribution of a code and N(0, 1), for networks that encode pictures."""

import torch
from torch import Tensor, nn


class StandardNormal(nn.Module):
    """The KL divergence of a normal distribution with diagonal covariance from N(0, 1), in nats.

    Kingma and Welling 2014 (VAE), appendix B: 1/2 sum(mean^2 + variance - log variance - 1). It is 0 only for N(0, 1).
    """

    def forward(self, mean: Tensor, log_variance: Tensor) -> Tensor:
        """Return the divergence, a scalar: the sum over the numbers of a code, averaged over the pictures.

        Args:
            mean, log_variance: of each number, `[N, L]`.
        """
        mean, log_variance = mean.float(), log_variance.float()
        return 0.5 * (mean.square() + log_variance.exp() - log_variance - 1).sum(1).mean()


def draw(mean: Tensor, log_variance: Tensor) -> Tensor:
    """Draw a code `[N, L]` from the distribution, in such a way that gradients reach both parameters."""
    noise = torch.randn(mean.shape, device=mean.device)
    return mean.float() + noise * (log_variance.float() / 2).exp()
