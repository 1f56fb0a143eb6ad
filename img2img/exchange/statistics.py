"""Running statistics of batch norm: whether those in a checkpoint can be used."""

from collections.abc import Mapping
from dataclasses import dataclass

import torch
from torch import Tensor, nn

NAMED = 5
"""Keys that a message names."""


@dataclass(frozen=True)
class Statistics:
    """The batch norms of some networks that keep running statistics.

    Attributes:
        count: all of them.
        idle: names of those that were never moved: means 0 and variances 1, as a network begins.
        broken: names of those that hold NaN, infinity or a variance below 0, which no picture survives.
    """

    count: int
    idle: tuple[str, ...]
    broken: tuple[str, ...]

    @property
    def fault(self) -> str | None:
        """What is wrong with them, as the end of a sentence; None where nothing is."""
        if self.broken:
            return f"the running statistics of {_listed(self.broken)} are not finite"
        if self.idle:
            which = "its batch norm" if len(self.idle) == self.count else _listed(self.idle)
            return f"the running statistics of {which} were never gathered (means 0, variances 1)"
        return None


def examine(networks: Mapping[str, nn.Module]) -> Statistics:
    """The statistics in `networks`, whose names are put before those of their layers."""
    idle, broken, count = [], [], 0
    for name, network in networks.items():
        for place, layer in network.named_modules():
            if not isinstance(layer, nn.BatchNorm2d | nn.SyncBatchNorm) or layer.running_mean is None:
                continue
            count += 1
            mean, variance = layer.running_mean, layer.running_var
            assert variance is not None
            full = ".".join(filter(None, (name, place)))
            if not (mean.isfinite().all() and variance.isfinite().all() and (variance >= 0).all()):
                broken.append(full)
            elif not mean.any() and (variance == 1).all():
                idle.append(full)
    return Statistics(count, tuple(idle), tuple(broken))


def not_finite(values: Mapping[str, Tensor]) -> str:
    """Those keys of `values` that hold NaN or infinity, as a text that names the first; empty where there are none."""
    return _listed(tuple(key for key, value in values.items() if not bool(torch.isfinite(value).all())))


def _listed(names: tuple[str, ...]) -> str:
    more = f" and {len(names) - NAMED} more" if len(names) > NAMED else ""
    return ", ".join(names[:NAMED]) + more
