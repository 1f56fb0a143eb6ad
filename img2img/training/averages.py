"""The moving average of a network's weights, which is validated and exported in its place."""

import copy

import torch
from torch import nn


class Average:
    """An exponential moving average of the parameters of a network; its buffers are copied.

    It forgets faster at first, so that short runs are not judged by their start. torch's `AveragedModel` counts on the
    device, and waits for it at every update; this one counts here.

    Args:
        network: the first value of the average.
        decay: what is kept of the average at each update, once warmed up.

    Attributes:
        module: the network with averaged weights.
        count: updates so far.
    """

    def __init__(self, network: nn.Module, decay: float) -> None:
        self.module = copy.deepcopy(network).requires_grad_(False)
        self.decay = decay
        self.count = 0

    @torch.no_grad()
    def update(self, network: nn.Module) -> None:
        """Take the present weights of `network` into the average."""
        kept = min(self.decay, self.count / (10 + self.count))
        torch._foreach_lerp_(list(self.module.parameters()), list(network.parameters()), 1 - kept)
        for ours, theirs in zip(self.module.buffers(), network.buffers(), strict=True):
            ours.copy_(theirs)
        self.count += 1
