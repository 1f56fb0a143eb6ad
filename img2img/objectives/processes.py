"""Reductions over the processes of a distributed run, for state that must be equal in all of them."""

import torch.distributed as dist
from torch import Tensor


def processes() -> int:
    """Return the number of processes of the run."""
    return dist.get_world_size() if dist.is_available() and dist.is_initialized() else 1


def sum_over_processes(value: Tensor) -> Tensor:
    """Return the sum of `value` over all processes, detached. A single process gets its own `value` back."""
    total = value.detach().clone()
    if dist.is_available() and dist.is_initialized():
        dist.all_reduce(total)
    return total


def mean_over_processes(value: Tensor) -> Tensor:
    """Return the mean of `value` over all processes, detached."""
    return sum_over_processes(value) / processes()


def max_over_processes(value: Tensor) -> Tensor:
    """Return the maximum of `value` over all processes, detached."""
    largest = value.detach().clone()
    if dist.is_available() and dist.is_initialized():
        dist.all_reduce(largest, dist.ReduceOp.MAX)
    return largest
