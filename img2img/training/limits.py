"""Refuses what cannot fit this machine, before it fills the memory or the cores."""

import os
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import psutil
import torch

from img2img.errors import ConfigError
from img2img.methods.config import RunConfig
from img2img.runtime.network import memory
from img2img.text import count_of, show_memory

BYTES_IN_BATCH = 6
"""Bytes that each pixel of a batch takes as data: an input and a target, uint8 RGB."""

BYTES_IN_STEP = 122
"""Bytes that it takes at least while the networks run, as float32: input, target, result and its gradient, the pairs
of them that a discriminator sees, and a thin layer of features.
"""

MARGIN = 0.1
"""Share of the memory that the forward passes of a step must leave free."""

BACKWARD = 3
"""The backward pass needs about so many times the memory of the largest layer, after all forward passes."""


def check_batch(config: RunConfig, device: str) -> None:
    """Check that one batch fits into memory.

    Most networks need far more, see `memory_guard`.

    Raises:
        ConfigError: it does not fit.
    """
    on_gpu = device != "cpu" and torch.cuda.is_available()
    needed = _pixels(config) * BYTES_IN_BATCH
    needed += 0 if on_gpu else _pixels(config) / config.accumulate * BYTES_IN_STEP
    free = _left()
    if needed > free:
        raise ConfigError(
            f"batch = {config.batch} needs more than {show_memory(needed)} of memory, and {show_memory(free)} is free; "
            "choose a smaller batch or data.crop"
        )


@contextmanager
def memory_guard(config: RunConfig, device: torch.device) -> Iterator[None]:
    """Stop a step inside the block when it has filled the memory of the machine, after the forward pass of a layer.

    Without this, the operating system would end this process, or others.

    Raises:
        ConfigError: no memory is left for the rest of the step.
    """
    if device.type != "cpu" or config.compile:
        yield
        return
    before = memory.resident()
    margin = memory.total() * MARGIN

    def check(module: torch.nn.Module, inputs: Any, output: Any) -> None:
        nonlocal margin
        if isinstance(output, torch.Tensor):
            margin = max(margin, BACKWARD * output.nbytes)
        left = _left()
        if left < margin and memory.resident() - before > left:
            raise ConfigError(
                f"batch = {config.batch} fills the memory of this machine; choose a smaller batch or data.crop, or a "
                "larger accumulate"
            )

    hook = torch.nn.modules.module.register_module_forward_hook(check)
    try:
        yield
    finally:
        hook.remove()


def _pixels(config: Any) -> float:
    """Pixels of one batch in this process."""
    crop = config.data.crop if hasattr(config, "data") else 1
    return float(config.batch / int(os.environ.get("WORLD_SIZE", "1")) * crop**2)


def _left() -> int:
    """Memory in bytes that this process may still take."""
    return min(int(psutil.virtual_memory().available), memory.total() - memory.resident())


def limit_threads(wanted: int) -> str:
    """Limit the CPU threads of torch in this process to `wanted`, or to the number of cores. Return a note, or "".

    Many more threads than cores would hang.
    """
    cores = os.cpu_count() or 1
    torch.set_num_threads(min(wanted, cores))
    return f"--threads {wanted}: using {cores}, because this machine has {count_of(cores, 'core')}" * (wanted > cores)
