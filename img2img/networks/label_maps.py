"""What pix2pixHD adds to a label map: the edges of its instances, and features of each instance."""

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from img2img.networks.feature_clusters import FeatureClusters


def edge_map(regions: Tensor) -> Tensor:
    """Return the edges of `regions` `[N, C, H, W]`: float `[N, 1, H, W]`, 1 where a pixel differs from one of its four
    neighbours in any channel, otherwise 0 (Wang et al. 2018, section 3.4).

    Regions may be numbers of instances or classes, or one-hot classes.
    """
    regions = regions.float()
    beside = (regions[..., 1:] - regions[..., :-1]).abs().amax(1, keepdim=True)
    below = (regions[..., 1:, :] - regions[..., :-1, :]).abs().amax(1, keepdim=True)
    differences = (
        F.pad(beside, (1, 0)) + F.pad(beside, (0, 1)) + F.pad(below, (0, 0, 1, 0)) + F.pad(below, (0, 0, 0, 1))
    )
    return (differences > 0).float()


def region_means(features: Tensor, regions: Tensor) -> Tensor:
    """Return `features` `[N, C, H, W]` with each value replaced by the mean over its region of the picture.

    Wang et al. 2018, section 3.4: instance-wise average pooling.

    Args:
        regions: numbers of regions, int64 `[N, 1, H, W]`, at least 0. A number means another region in each picture.
    """
    picture = torch.arange(len(regions), device=regions.device)[:, None, None, None]
    keys = regions * len(regions) + picture
    found, place = torch.unique(keys, return_inverse=True)
    place = place.flatten()
    values = features.float().permute(0, 2, 3, 1).reshape(-1, features.shape[1])
    sums = values.new_zeros(len(found), values.shape[1]).index_add(0, place, values)
    counts = torch.bincount(place, minlength=len(found)).to(values)
    means = (sums / counts[:, None])[place]
    return means.reshape(features.shape[0], *features.shape[2:], -1).permute(0, 3, 1, 2)


class LabelMapGenerator(nn.Module):
    """A pix2pixHD generator that takes a label map alone.

    Edges are those of the classes: two instances of one class that touch have none between them. Features of a class
    are one of its clusters, chosen by a latent code.

    Args:
        generator: takes one-hot classes, then the edge map, then the features.
        edges: whether it takes an edge map.
        clusters: the features; None: it takes none.

    Input one-hot classes `[N, K, H, W]`, and with clusters a code `[N, K]`. Output that of the generator.

    Attributes:
        multiple, minimum: constraints on H and W, in pixels: those of the generator.
    """

    def __init__(self, generator: nn.Module, *, edges: bool, clusters: FeatureClusters | None = None) -> None:
        super().__init__()
        self.generator = generator
        self.edges = edges
        self.clusters = clusters
        self.multiple = getattr(generator, "multiple", 1)
        self.minimum = getattr(generator, "minimum", 1)

    def forward(self, classes: Tensor, latent: Tensor | None = None) -> Tensor:
        seen = [classes]
        if self.edges:
            seen.append(edge_map(classes))
        if self.clusters is not None:
            seen.append(torch.einsum("nkhw,nkf->nfhw", classes, self.clusters(latent)))
        result: Tensor = self.generator(torch.cat(seen, 1))
        return result
