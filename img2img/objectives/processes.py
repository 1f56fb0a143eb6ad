"""Averages over the processes of a distributed run, for state that must stay equal in all of them."""

import torch.distributed as dist
from torch import Tensor


def sum_over_processes(value: Tensor) -> Tensor:
    """The sum of every process's `value`, detached; `value` itself where there is one process."""
    total = value.detach().clone()
    if dist.is_available() and dist.is_initialized():
        dist.all_reduce(total)
    return total


def mean_over_processes(value: Tensor) -> Tensor:
    """The mean of every process's `value`, detached."""
    processes = dist.get_world_size() if dist.is_available() and dist.is_initialized() else 1
    return sum_over_processes(value) / processes


def max_over_processes(value: Tensor) -> Tensor:
    """The largest of every process's `value`, detached."""
    largest = value.detach().clone()
    if dist.is_available() and dist.is_initialized():
        dist.all_reduce(largest, dist.ReduceOp.MAX)
    return largest
