"""The mode-seeking regulariser: different latent codes should give different pictures."""

from torch import Tensor, nn

EPSILON = 1e-5
"""Keeps the quotient finite if both pictures are equal (official code)."""


class ModeSeeking(nn.Module):
    """d_z(z1, z2) / (d_I(G(z1), G(z2)) + 1e-5), to be minimised.

    Mao et al. 2019 (MSGAN), equation 5, maximises the ratio d_I / d_z. This is its inverse, as in the official code, so
    that the term is bounded below by 0. Both distances are mean absolute differences over the whole batch.
    """

    def forward(self, result1: Tensor, result2: Tensor, latent1: Tensor, latent2: Tensor) -> Tensor:
        """Return the term, a scalar, at least 0.

        Args:
            result1, result2: pictures `[N, C, H, W]`, made from the same inputs with the two codes.
            latent1, latent2: the codes, `[N, L]`.
        """
        between_pictures = (result1 - result2).abs().float().mean()
        between_codes = (latent1 - latent2).abs().float().mean()
        return between_codes / (between_pictures + EPSILON)
