"""Codes from a normal distribution that an encoder describes: draw one, and measure how far it is from N(0, 1)."""

import torch
from torch import Tensor


def draw(mean: Tensor, log_variance: Tensor) -> Tensor:
    """Draw a code, with the gradient of `mean` and `log_variance` (the reparameterisation of Kingma and Welling 2014).

    The CVAE-GAN texts print `exp(log_variance)` as the factor of the noise. The standard deviation is
    `exp(log_variance / 2)`.
    """
    return mean + torch.randn_like(mean) * (log_variance / 2).exp()


def divergence(mean: Tensor, log_variance: Tensor) -> Tensor:
    """Return the KL divergence of the codes' distribution from N(0, 1), in nats.

    A sum over the numbers of a code and a mean over the batch: CVAE-GAN, Bao's doctoral thesis, equation 4.1.

    Args:
        mean, log_variance: `[N, L]` each.
    """
    mean, log_variance = mean.float(), log_variance.float()
    return 0.5 * (mean.square() + log_variance.exp() - log_variance - 1).sum(1).mean()
