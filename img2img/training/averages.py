"""The moving average of network weights, which is validated and exported in place of the weights."""

import copy

import torch
from torch import nn


class Average:
    """An exponential moving average of the parameters of a network. Buffers are copied.

    It forgets faster at first, so that short runs are not dominated by their initial weights. torch's `AveragedModel`
    keeps its counter on the device and waits for it at every update; this class counts on the CPU.

    Args:
        network: the initial value of the average.
        decay: the share of the old average in each update, after the warm-up.

    Attributes:
        module: the network with averaged weights.
        count: number of updates.
    """

    def __init__(self, network: nn.Module, decay: float) -> None:
        self.module = copy.deepcopy(network).requires_grad_(False)
        self.decay = decay
        self.count = 0

    @torch.no_grad()
    def update(self, network: nn.Module) -> None:
        """Update the average with the current weights of `network`."""
        kept = min(self.decay, self.count / (10 + self.count))
        torch._foreach_lerp_(list(self.module.parameters()), list(network.parameters()), 1 - kept)
        for ours, theirs in zip(self.module.buffers(), network.buffers(), strict=True):
            ours.copy_(theirs)
        self.count += 1
