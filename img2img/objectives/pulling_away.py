"""EBGAN's pulling-away term: the pictures of a batch should have different codes."""

from torch import Tensor, nn
from torch.nn import functional as F


class PullingAway(nn.Module):
    """The mean squared cosine between the codes of every two pictures of a batch.

    Zhao et al. 2017 (EBGAN), equation 4. The paper adds it to the generator's loss with weight 0.1.
    """

    def forward(self, codes: Tensor) -> Tensor:
        """Return the term, a scalar in 0..1.

        Args:
            codes: `[N, ...]`, N at least 2, for example from `AutoEncoder.encode`. Flattened to one vector per picture.

        Raises:
            ValueError: there is a single picture.
        """
        count = len(codes)
        if count < 2:
            raise ValueError("the pulling-away term compares pictures: it needs a batch of 2 or more")
        directions = F.normalize(codes.float().flatten(1), dim=1)
        cosines = directions @ directions.T
        others = cosines - cosines.diag().diag()
        return others.square().sum() / (count * (count - 1))
