"""Networks, optimisers and moving averages on their device, with all state that a resume needs.

Accelerate provides device, precision, loss scaling and communication. This module averages the gradients of several
processes after each backward pass and does not use DistributedDataParallel. Its hooks expect one backward pass through
all parameters after each forward pass, but the losses of a GAN pass through a discriminator whose weights they do not
update.
"""

from collections.abc import Sequence
from typing import Any

import numpy as np
import torch
from accelerate import Accelerator
from accelerate.state import AcceleratorState
from accelerate.utils import broadcast, gather_object
from torch import Tensor, nn

from img2img.errors import CheckpointError, ConfigError, DeviceError
from img2img.methods.config import OptimiserConfig, RunConfig
from img2img.methods.method import Batch, Method, OptimiserSpec
from img2img.networks import EAGER
from img2img.networks.growing import growing_parts
from img2img.training.averages import Average
from img2img.training.checkpoints import Checkpoint
from img2img.training.schedule import factor


class Engine:
    """Owns precision, device, distribution, optimisers, schedules and moving averages of a method.

    Args:
        method: its networks are trained. They are moved to the device.
        device: "auto", "cpu" or "cuda".

    Attributes:
        channels_last: whether networks and pictures use the NHWC memory layout.
        slowdown: factor on every learning rate, on top of the schedule. Below 1 after a loss was not finite.

    Raises:
        DeviceError: the device is not available.
        ConfigError: the batch cannot be divided evenly among processes and parts.
    """

    def __init__(self, method: Method, config: RunConfig, device: str = "auto") -> None:
        devices = ["auto", "cpu", "cuda"] if torch.cuda.is_available() else ["auto", "cpu"]
        if device not in devices:
            raise DeviceError(f"cannot train on device '{device}' here; available: {', '.join(devices)}")
        precision = _precision(config.precision, device)
        if precision == "fp16" and (device == "cpu" or not torch.cuda.is_available()):
            raise ConfigError("precision = fp16 needs a GPU; use fp32 or bf16 on a CPU")
        AcceleratorState._reset_state()  # a process may train twice, the second time with another precision
        mixed = "no" if precision == "fp32" else precision
        self.accelerator = Accelerator(cpu=device == "cpu", mixed_precision=mixed)
        self.method = method
        self.precision = precision
        self.config = config
        self.slowdown = 1.0
        on_gpu = self.accelerator.device.type == "cuda"
        self.channels_last = on_gpu if config.channels_last is None else config.channels_last
        self._check_batch()
        self.averages: dict[str, Average] = {}
        self.networks: dict[str, nn.Module] = {}
        for name, network in method.networks.items():
            if self.channels_last:
                network.to(memory_format=torch.channels_last)
            network.to(self.accelerator.device)
            broadcast(list(network.state_dict().values()))
            if name in method.averaged and config.ema:
                self.averages[name] = Average(network, config.ema)
            compiled = config.compile and not getattr(network, EAGER, False)
            self.networks[name] = torch.compile(network) if compiled else network  # type: ignore[assignment]
        self._growing = [growth for network in method.networks.values() for growth in growing_parts(network)]
        self.optimisers = {
            name: self.accelerator.prepare_optimizer(_optimiser(moved.config, method, moved.networks))
            for name, moved in method.optimisers.items()
        }
        self._parameters = {
            name: [p for group in optimiser.param_groups for p in group["params"]]
            for name, optimiser in self.optimisers.items()
        }
        self._bounded = {name: _bounded(method, moved) for name, moved in method.optimisers.items()}

    def unwrapped(self, name: str) -> nn.Module:
        """Return the network called `name` without the wrapper of torch.compile."""
        return self.accelerator.unwrap_model(self.networks[name], keep_torch_compile=False)  # type: ignore[no-any-return]

    def begin(self, step: int) -> float:
        """Set learning rates, random numbers and growing networks for `step`, from 0. Return the generator's rate.

        Everything random in a step is a function of seed, step and process, so that there is no state to save.
        """
        words = np.random.SeedSequence((self.config.seed, step, self.accelerator.process_index)).generate_state(2)
        torch.manual_seed(int(words[0]) << 32 | int(words[1]))
        self.method.step_number = step
        for growth in self._growing:
            growth.set_progress(step / self.config.steps)
        share = factor(self.config.schedule, step, self.config.steps) * self.slowdown
        for name, optimiser in self.optimisers.items():
            for group in optimiser.param_groups:
                group["lr"] = self.method.optimisers[name].config.rate * share
        return self.method.optimisers["generator"].config.rate * share

    def step(self, batches: Sequence[Batch], *, measure: bool = False) -> dict[str, Tensor]:
        """Take one step of the method on `batches`. Return its figures and, with `measure`, gradient norms.

        With `accumulate` above 1, every batch is split into parts, and one `Method.step` runs on each part. They
        advance together, loss by loss, so the gradients are those of the mean loss over all parts.
        """
        parts = self.config.accumulate
        runs = [self.method.step(self.networks, [_part(batch, k, parts) for batch in batches]) for k in range(parts)]
        figures: list[dict[str, Tensor]] = []
        norms: dict[str, Tensor] = {}
        while not figures:
            name = ""
            for run in runs:
                try:
                    # Autocast is around the step and not in each network, so penalties can ask for full precision.
                    with self.accelerator.autocast():
                        requested, loss = next(run)
                except StopIteration as end:
                    figures.append(end.value)
                    continue
                if not name:
                    name = requested
                    self.optimisers[name].zero_grad()
                # This computes the gradients of the networks that the loss updates, and no others. The generator's
                # loss, for example, needs none for the discriminator.
                self.accelerator.backward(loss / parts, inputs=self._parameters[name])
            if name:
                norms |= self._update(name, measure)
        return {key: torch.stack([one[key] for one in figures]).mean() for key in figures[0]} | norms

    def _update(self, name: str, measure: bool) -> dict[str, Tensor]:
        moved, optimiser = self.method.optimisers[name], self.optimisers[name]
        gradients = [p.grad for p in self._parameters[name] if p.grad is not None]
        self._average_gradients(gradients)
        norms = {}
        if measure or moved.config.clip:
            self.accelerator.unscale_gradients(optimiser)
            norm = torch.nn.utils.get_total_norm(gradients)
            if moved.config.clip:
                torch.nn.utils.clip_grads_with_norm_(self._parameters[name], moved.config.clip, norm)
            norms = {f"gradient/{name}": norm} if measure else {}
        optimiser.step()
        if moved.bound is not None:
            with torch.no_grad():
                torch._foreach_clamp_min_(self._bounded[name], -moved.bound)
                torch._foreach_clamp_max_(self._bounded[name], moved.bound)
        return norms

    def _average_gradients(self, gradients: list[Tensor]) -> None:
        """Replace `gradients` by their means over all processes, in one message."""
        if self.accelerator.num_processes == 1 or not gradients:
            return
        flat = self.accelerator.reduce(torch.cat([g.reshape(-1) for g in gradients]), "mean")
        for gradient, mean in zip(gradients, flat.split([g.numel() for g in gradients]), strict=True):
            gradient.copy_(mean.view(gradient.shape))

    def any_process(self, flag: bool) -> bool:
        """Return whether `flag` is true in any process.

        All processes must stop at the same step, or they would wait for each other.
        """
        if self.accelerator.num_processes == 1:
            return flag
        votes = self.accelerator.reduce(torch.tensor(float(flag), device=self.accelerator.device), "sum")
        return float(votes) > 0

    def mean(self, figures: dict[str, float]) -> dict[str, float]:
        """Return the mean of each figure over all processes."""
        if self.accelerator.num_processes == 1 or not figures:
            return figures
        values = torch.tensor(list(figures.values()), device=self.accelerator.device)
        return dict(zip(figures, self.accelerator.reduce(values, "mean").tolist(), strict=True))

    def update_averages(self) -> None:
        """Update the moving averages with the current weights."""
        for name, average in self.averages.items():
            average.update(self.unwrapped(name))

    def evaluation_networks(self) -> dict[str, nn.Module]:
        """Return the networks to validate and export, in eval mode, as moving averages where they exist."""
        networks = {
            name: self.averages[name].module if name in self.averages else self.unwrapped(name)
            for name in self.networks
        }
        for network in networks.values():
            network.eval()
        return networks

    def train(self) -> None:
        """Return to training mode after `evaluation_networks`."""
        for network in self.networks.values():
            network.train()

    def checkpoint(self, step: int, extra: dict[str, Any]) -> Checkpoint:
        """Return everything that `restore` needs to continue after `step` steps. Every process must call it.

        Further training changes its tensors. `copied` keeps them.
        """
        weights = {name: self.unwrapped(name).state_dict() for name in self.networks}
        weights |= {f"{name}.ema": average.module.state_dict() for name, average in self.averages.items()}
        own = {name: part.state_dict() for name, part in self.method.state.items()}
        state: dict[str, Any] = {
            "optimisers": {name: optimiser.state_dict() for name, optimiser in self.optimisers.items()},
            "averaged": {name: average.count for name, average in self.averages.items()},
            "method": gather_object([_on_cpu(own)]) if own else [],
            "slowdown": self.slowdown,
            "extra": extra,
        }
        if self.accelerator.scaler is not None:
            state["scaler"] = self.accelerator.scaler.state_dict()
        return Checkpoint(step, weights, state)

    def restore(self, checkpoint: Checkpoint) -> dict[str, Any]:
        """Continue from `checkpoint`. Return the `extra` that was stored with it.

        Raises:
            CheckpointError: it holds other networks, or another number of processes wrote it and each process has its
                own state.
        """
        state = checkpoint.state
        try:
            for name in self.networks:
                self.unwrapped(name).load_state_dict(checkpoint.weights[name])
            for name, average in self.averages.items():
                average.module.load_state_dict(checkpoint.weights[f"{name}.ema"])
                average.count = state["averaged"][name]
            for name, optimiser in self.optimisers.items():
                optimiser.load_state_dict(state["optimisers"][name])
        except (KeyError, RuntimeError, ValueError) as error:
            raise CheckpointError(f"the checkpoint of step {checkpoint.step} holds other networks: {error}") from error
        if self.method.state:
            if len(state["method"]) != self.accelerator.num_processes:
                raise CheckpointError(
                    f"the run was trained by {len(state['method'])} processes, each with its own state "
                    f"({', '.join(self.method.state)}); continue with the same number"
                )
            for name, part in self.method.state.items():
                part.load_state_dict(state["method"][self.accelerator.process_index][name])
        if self.accelerator.scaler is not None and "scaler" in state:
            self.accelerator.scaler.load_state_dict(state["scaler"])
        self.slowdown = state["slowdown"]
        extra: dict[str, Any] = state["extra"]
        return extra

    def _check_batch(self) -> None:
        batch, processes, parts = self.config.batch, self.accelerator.num_processes, self.config.accumulate
        if batch % processes:
            raise ConfigError(f"batch = {batch} cannot be divided evenly among {processes} processes")
        if batch // processes % parts:
            raise ConfigError(
                f"batch = {batch}: {batch // processes} per process is not a multiple of accumulate = {parts}"
            )


def _part(batch: Batch, k: int, parts: int) -> Batch:
    return batch if parts == 1 else {name: value.chunk(parts)[k] for name, value in batch.items()}


def copied(checkpoint: Checkpoint, over: Checkpoint | None = None) -> Checkpoint:
    """Return a copy of `checkpoint` in main memory, which training does not change.

    Args:
        over: an earlier copy that is no longer needed. Its memory is used again, which saves half of the time.
    """
    return Checkpoint(
        checkpoint.step,
        _copy(checkpoint.weights, over and over.weights),
        _copy(checkpoint.state, over and over.state),
    )


def _copy(value: Any, over: Any) -> Any:
    if isinstance(value, Tensor):
        if isinstance(over, Tensor) and (over.shape, over.dtype) == (value.shape, value.dtype):
            return over.copy_(value)
        return value.detach().to("cpu", copy=True)
    if isinstance(value, dict):
        known = over if isinstance(over, dict) else {}
        return {key: _copy(one, known.get(key)) for key, one in value.items()}
    if isinstance(value, list | tuple):
        others = over if isinstance(over, list | tuple) and len(over) == len(value) else [None] * len(value)
        return type(value)(_copy(one, other) for one, other in zip(value, others, strict=True))
    return value


def _on_cpu(value: Any) -> Any:
    if isinstance(value, Tensor):
        return value.detach().cpu()
    if isinstance(value, dict):
        return {key: _on_cpu(one) for key, one in value.items()}
    return [_on_cpu(one) for one in value] if isinstance(value, list | tuple) else value


def _precision(wanted: str, device: str) -> str:
    if wanted != "auto":
        return wanted
    if device != "cpu" and torch.cuda.is_available():
        return "bf16" if torch.cuda.is_bf16_supported() else "fp32"
    # With AVX512-BF16, bf16 is 1.3 to 1.9 times as fast as fp32 (U-Net, ResNet, RRDB, compact network). A CPU with
    # neither that nor AMX tiles emulates bf16 and takes three times as long.
    native = torch.cpu._is_amx_tile_supported() or torch.cpu._is_avx512_bf16_supported()
    return "bf16" if native else "fp32"


def _bounded(method: Method, moved: OptimiserSpec) -> list[Tensor]:
    """Return the weights that `moved.bound` clips."""
    named = [(f"{name}.{key}", p) for name in moved.networks for key, p in method.networks[name].named_parameters()]
    free = tuple(f"{part}." for part in moved.unbounded)
    return [p for key, p in named if p.requires_grad and not key.startswith(free)]


def _optimiser(config: OptimiserConfig, method: Method, moved: tuple[str, ...]) -> torch.optim.Optimizer:
    parameters = [p for name in moved for p in method.networks[name].parameters() if p.requires_grad]
    common: dict[str, Any] = {"lr": config.rate, "weight_decay": config.weight_decay}
    if config.name == "rmsprop":
        return torch.optim.RMSprop(parameters, alpha=config.decay, momentum=config.momentum, **common)
    if config.name == "sgd":
        return torch.optim.SGD(parameters, momentum=config.momentum, fused=True, **common)
    adam = torch.optim.Adam if config.name == "adam" else torch.optim.AdamW
    return adam(parameters, betas=config.betas, fused=True, **common)
