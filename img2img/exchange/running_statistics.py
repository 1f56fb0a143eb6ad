"""Check whether the running statistics of batch norm in a checkpoint can be used."""

from collections.abc import Mapping
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from img2img.exchange.listing import first_names


@dataclass(frozen=True)
class RunningStatistics:
    """The batch norm layers of some networks that keep running statistics.

    Attributes:
        count: number of these layers.
        never_updated: names of the layers with means 0 and variances 1, as a new network has.
        not_finite: names of the layers with NaN, infinity or a negative variance. Their results are useless.
    """

    count: int
    never_updated: tuple[str, ...]
    not_finite: tuple[str, ...]

    @property
    def problem(self) -> str | None:
        """What is wrong with them, to end a sentence with; None if nothing is wrong."""
        if self.not_finite:
            return f"the running statistics of {first_names(self.not_finite)} are not finite"
        if self.never_updated:
            is_all = len(self.never_updated) == self.count
            layers = "its batch norm" if is_all else first_names(self.never_updated)
            return f"the running statistics of {layers} were never updated (means 0, variances 1)"
        return None


def examine(networks: Mapping[str, nn.Module]) -> RunningStatistics:
    """The running statistics in `networks`. The name of a layer begins with the name of its network."""
    never_updated, not_finite, count = [], [], 0
    for name, network in networks.items():
        for place, layer in network.named_modules():
            if not isinstance(layer, nn.BatchNorm2d | nn.SyncBatchNorm) or layer.running_mean is None:
                continue
            count += 1
            mean, variance = layer.running_mean, layer.running_var
            assert variance is not None
            full = ".".join(filter(None, (name, place)))
            if not (mean.isfinite().all() and variance.isfinite().all() and (variance >= 0).all()):
                not_finite.append(full)
            elif not mean.any() and (variance == 1).all():
                never_updated.append(full)
    return RunningStatistics(count, tuple(never_updated), tuple(not_finite))


def list_not_finite(values: Mapping[str, Tensor]) -> str:
    """The keys of `values` with NaN or infinity, as text for a message that lists the first ones; empty if none."""
    return first_names([key for key, value in values.items() if not bool(torch.isfinite(value).all())])
