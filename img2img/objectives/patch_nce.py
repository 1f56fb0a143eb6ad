"""The contrastive loss of CUT: a patch of the result should tell which patch of the input it came from."""

from collections.abc import Sequence

import torch
from torch import Tensor, nn
from torch.nn import functional as F


class PatchNCE(nn.Module):
    """Cross-entropy of the right place among all sampled places of the same picture, averaged over the layers.

    Park et al. 2020, "Contrastive Learning for Unpaired Image-to-Image Translation", equations 3 and 4. Negatives come
    from the same picture only. No gradient flows back into the keys.

    Args:
        temperature: divides the similarities.
    """

    def __init__(self, temperature: float = 0.07) -> None:
        super().__init__()
        self.temperature = temperature

    def forward(self, queries: Sequence[Tensor], keys: Sequence[Tensor]) -> Tensor:
        """Compare features of the result with those of the input at the same places.

        Args:
            queries, keys: one tensor per layer, `[N, places, features]`, of length 1 along the features
                (`PatchProjection`).

        Returns:
            A scalar, at least 0.
        """
        return torch.stack([self._layer(*pair) for pair in zip(queries, keys, strict=True)]).mean()

    def _layer(self, query: Tensor, key: Tensor) -> Tensor:
        similarity = query.float() @ key.detach().float().transpose(1, 2) / self.temperature
        right = torch.arange(similarity.shape[2], device=similarity.device).expand(similarity.shape[:2])
        return F.cross_entropy(similarity.flatten(0, 1), right.flatten())
