"""The features of objects in pix2pixHD: an encoder, and clusters of what it finds in the training set."""

import math
from collections.abc import Mapping
from statistics import NormalDist

import torch
from torch import Tensor, nn

from img2img.networks.pix2pixhd import GlobalGenerator

ITERATIONS = 30
"""Largest number of iterations of K-means."""


class FeatureClusters(nn.Module):
    """For each class, the centres of its features, and ranges of a normal variable that choose one of them.

    Wang et al. 2018 (pix2pixHD), section 3.4: features of the training set are clustered by K-means, and a centre is
    drawn at random for each object. Here one number per class chooses the centre. If it is drawn from N(0, 1), each
    centre is as frequent as in the training set. Centres lie along the direction in which they differ most, so 0
    chooses one in the middle.

    Args:
        classes: number of classes, K.
        features: number of features, F.
        clusters: number of clusters of a class.

    Input a code `[N, K]`; output the features of each class, `[N, K, F]`. 0 for a class that no training picture has.
    """

    centres: Tensor
    lower: Tensor
    upper: Tensor

    def __init__(self, classes: int, features: int, clusters: int = 10) -> None:
        super().__init__()
        self.register_buffer("centres", torch.zeros(classes, clusters, features))
        self.register_buffer("lower", torch.zeros(classes, clusters))
        self.register_buffer("upper", torch.zeros(classes, clusters))

    def forward(self, latent: Tensor) -> Tensor:
        value = latent[:, :, None]
        chosen = ((value >= self.lower) & (value < self.upper)).to(latent)
        return (chosen[..., None] * self.centres).sum(2)

    @torch.no_grad()
    def fit(self, features: Mapping[int, Tensor], seed: int = 0) -> None:
        """Replace the centres by those of `features`, the features of each class, `[M, F]`."""
        for part in (self.centres, self.lower, self.upper):
            part.zero_()
        random = torch.Generator().manual_seed(seed)
        for one, values in features.items():
            centres, shares = k_means(values.double().cpu(), self.centres.shape[1], random)
            limits = [0.0, *torch.cumsum(shares, 0).tolist()[:-1], 1.0]
            bounds = torch.tensor([_quantile(limit) for limit in limits])
            count = len(centres)
            self.centres[one, :count] = centres.to(self.centres)
            self.lower[one, :count] = bounds[:-1].to(self.lower)
            self.upper[one, :count] = bounds[1:].to(self.upper)


class FeatureEncoder(GlobalGenerator):
    """Encodes the look of every pixel; the mean over an object is what the generator sees of it.

    Wang et al. 2018 (pix2pixHD), section 3.4, in the layout of `Encoder` (repository NVIDIA/pix2pixHD, `networks.py`):
    a `GlobalGenerator` without residual blocks. Its part `clusters` is not trained: the method fits it.

    Args:
        inputs: channels of the picture.
        outputs: number of features.
        features: channels at full size.
        downs: halvings, then as many doublings.
        norm, upsampling: see `GlobalGenerator`.
        classes: number of classes.
        clusters: number of clusters of a class.

    Input, output and attributes: see `GlobalGenerator`.
    """

    def __init__(
        self,
        inputs: int = 3,
        outputs: int = 3,
        features: int = 16,
        downs: int = 4,
        norm: str = "instance",
        upsampling: str = "transpose",
        classes: int = 1,
        clusters: int = 10,
    ) -> None:
        super().__init__(inputs, outputs, features, downs, 0, norm, upsampling)
        self.clusters = FeatureClusters(classes, outputs, clusters)


def k_means(values: Tensor, clusters: int, random: torch.Generator) -> tuple[Tensor, Tensor]:
    """Cluster `values` `[M, F]`, M at least 1 (Lloyd's algorithm, started by k-means++).

    Returns:
        The centres `[C, F]`, C at most `clusters`, ordered along the direction in which they differ most, and the share
        of the values that each has, `[C]`.
    """
    centres = values[torch.randint(len(values), (1,), generator=random)]
    for _ in range(min(clusters, len(values)) - 1):
        squares = torch.cdist(values, centres).amin(1).square()
        if squares.sum() <= 1e-12:  # all other values are equal to a centre
            break
        centres = torch.cat((centres, values[torch.multinomial(squares, 1, generator=random)]))
    nearest = torch.cdist(values, centres).argmin(1)
    for _ in range(ITERATIONS):
        members = torch.nn.functional.one_hot(nearest, len(centres)).to(values)
        counts = members.sum(0)
        moved = torch.where(counts[:, None] > 0, members.T @ values / counts.clamp(min=1)[:, None], centres)
        if torch.equal(moved, centres):
            break
        centres = moved
        nearest = torch.cdist(values, centres).argmin(1)
    counts = torch.bincount(nearest, minlength=len(centres)).to(values)
    centres, counts = centres[counts > 0], counts[counts > 0]
    spread = centres - centres.mean(0)
    _, _, directions = torch.linalg.svd(spread, full_matrices=False)
    # A direction may point either way. Its largest number is positive, so that the order is the same everywhere.
    direction = directions[0] * torch.sign(directions[0, directions[0].abs().argmax()])
    order = torch.argsort(spread @ direction)
    return centres[order], counts[order] / counts.sum()


def _quantile(share: float) -> float:
    if share <= 0 or share >= 1:
        return math.copysign(float(torch.finfo(torch.float32).max), share - 0.5)
    return NormalDist().inv_cdf(share)
