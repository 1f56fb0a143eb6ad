"""The domain classification loss of multi-domain translation."""

import torch
from torch import Tensor, nn
from torch.nn import functional as F


class DomainClassification(nn.Module):
    """Classification loss: cross-entropy for exclusive domains, binary cross-entropy for attributes.

    Choi et al. 2018 (StarGAN), equations 2 and 3. As in the official code, the attribute loss is summed over the
    columns and averaged over the pictures.

    Args:
        exclusive: whether each picture belongs to exactly one domain.
    """

    def __init__(self, exclusive: bool) -> None:
        super().__init__()
        self.exclusive = exclusive

    def forward(self, logits: Tensor, label: Tensor, known: Tensor | None = None) -> Tensor:
        """Return the mean loss over the pictures.

        Args:
            logits: `[N, K]`.
            label: `[N, K]`, 0..1; one-hot in the known columns if domains are exclusive.
            known: `[N, K]` or `[K]`, 1 for the columns of the data set that the picture comes from. All other columns
                are ignored, in the softmax too: their labels are unknown, not 0 (section 3.2, mask vector).
        """
        logits, label = logits.float(), label.to(logits.device, torch.float32)
        mask = torch.ones_like(logits) if known is None else known.to(logits).expand_as(logits)
        if self.exclusive:
            # The lowest finite number rather than -inf: a row without known columns must give 0, not NaN.
            within = logits.masked_fill(mask == 0, torch.finfo(logits.dtype).min)
            cost = -label * F.log_softmax(within, dim=1).masked_fill(mask == 0, 0)
        else:
            cost = F.binary_cross_entropy_with_logits(logits, label, reduction="none") * mask
        return cost.sum() / len(logits)
