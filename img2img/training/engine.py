"""Networks, optimisers and moving averages on their device, prepared by Accelerate; all state that a resume needs."""

import random
from collections.abc import Callable
from typing import Any

import numpy as np
import torch
from accelerate import Accelerator
from torch import Tensor, nn
from torch.optim.swa_utils import AveragedModel

from img2img.errors import ConfigError, DeviceError
from img2img.methods.config import OptimiserConfig, RunConfig
from img2img.methods.method import Method
from img2img.training.checkpoints import Checkpoint
from img2img.training.schedule import factor

OPTIMISERS = {"adam": torch.optim.Adam, "adamw": torch.optim.AdamW}


class Engine:
    """Owns what is around a method: precision, device, distribution, optimisers, schedules, moving averages.

    Args:
        method: whose networks are trained. They are moved to the device.
        device: "auto", "cpu" or "cuda".

    Raises:
        DeviceError: the device is not there.
    """

    def __init__(self, method: Method, config: RunConfig, device: str = "auto") -> None:
        if device not in ("auto", "cpu", "cuda") or (device == "cuda" and not torch.cuda.is_available()):
            raise DeviceError(
                f"no device '{device}' to train on here; there are auto, cpu{', cuda' * torch.cuda.is_available()}"
            )
        precision = _precision(config.precision, device)
        self.accelerator = Accelerator(cpu=device == "cpu", mixed_precision={"fp32": "no"}.get(precision, precision))
        if config.batch % self.accelerator.num_processes:
            raise ConfigError(
                f"batch = {config.batch} cannot be shared by {self.accelerator.num_processes} processes evenly"
            )
        self.precision = precision
        self.config = config
        self.averages: dict[str, AveragedModel] = {}
        self.networks: dict[str, nn.Module] = {}
        for name, network in method.networks.items():
            if config.channels_last:
                network.to(memory_format=torch.channels_last)
            network.to(self.accelerator.device)
            if name in method.averaged and config.ema:
                self.averages[name] = AveragedModel(network, multi_avg_fn=_warmed_average(config.ema))
            prepared = self.accelerator.prepare_model(network)
            self.networks[name] = torch.compile(prepared) if config.compile else prepared  # type: ignore[assignment]
        self.optimisers = {
            name: self.accelerator.prepare_optimizer(_optimiser(moved.config, method, moved.networks))
            for name, moved in method.optimised.items()
        }

    def plain(self, name: str) -> nn.Module:
        """The network called `name` without the wrappers of distribution and compilation."""
        return self.accelerator.unwrap_model(self.networks[name], keep_torch_compile=False)  # type: ignore[no-any-return]

    def set_rates(self, step: int) -> float:
        """Set the learning rates of `step`; returns the generator's."""
        rate = self.config.optimiser.rate * factor(self.config.schedule, step, self.config.steps)
        for optimiser in self.optimisers.values():
            for group in optimiser.param_groups:
                group["lr"] = rate
        return rate

    def update(self, name: str, loss: Tensor) -> None:
        """Backward, clip, and one step of the optimiser called `name`."""
        optimiser = self.optimisers[name]
        optimiser.zero_grad()
        self.accelerator.backward(loss)
        if self.config.optimiser.clip:
            parameters = [p for group in optimiser.param_groups for p in group["params"]]
            self.accelerator.clip_grad_norm_(parameters, self.config.optimiser.clip)
        optimiser.step()

    def agree(self, wish: bool) -> bool:
        """Whether any process wishes it: all of them stop at the same step, or they would wait for each other."""
        if self.accelerator.num_processes == 1:
            return wish
        votes = self.accelerator.reduce(torch.tensor(float(wish), device=self.accelerator.device), "sum")
        return float(votes) > 0

    def mean(self, figures: dict[str, float]) -> dict[str, float]:
        """The mean of each figure over all processes."""
        if self.accelerator.num_processes == 1 or not figures:
            return figures
        values = torch.tensor(list(figures.values()), device=self.accelerator.device)
        return dict(zip(figures, self.accelerator.reduce(values, "mean").tolist(), strict=True))

    def average(self) -> None:
        """Take the networks' present weights into their moving averages."""
        for name, average in self.averages.items():
            average.update_parameters(self.plain(name))

    def judged(self) -> dict[str, nn.Module]:
        """The networks to validate and export, in eval mode: the moving average where there is one."""
        judged = {
            name: self.averages[name].module if name in self.averages else self.plain(name) for name in self.networks
        }
        for network in judged.values():
            network.eval()
        return judged

    def train(self) -> None:
        """Back to training mode after `judged`."""
        for network in self.networks.values():
            network.train()

    def checkpoint(self, step: int, extra: dict[str, Any]) -> Checkpoint:
        """Everything that `restore` needs to go on after `step` steps."""
        weights = {name: self.plain(name).state_dict() for name in self.networks}
        weights |= {f"{name}.ema": average.module.state_dict() for name, average in self.averages.items()}
        state: dict[str, Any] = {
            "optimisers": {name: optimiser.state_dict() for name, optimiser in self.optimisers.items()},
            "averaged": {name: int(average.n_averaged) for name, average in self.averages.items()},
            "rng": _rng_state(),
            "extra": extra,
        }
        if self.accelerator.scaler is not None:
            state["scaler"] = self.accelerator.scaler.state_dict()
        return Checkpoint(step, weights, state)

    def restore(self, checkpoint: Checkpoint) -> dict[str, Any]:
        """Continue from `checkpoint`; returns what was stored as `extra`."""
        for name in self.networks:
            self.plain(name).load_state_dict(checkpoint.weights[name])
        for name, average in self.averages.items():
            average.module.load_state_dict(checkpoint.weights[f"{name}.ema"])
            average.n_averaged.fill_(checkpoint.state["averaged"][name])
        for name, optimiser in self.optimisers.items():
            optimiser.load_state_dict(checkpoint.state["optimisers"][name])
        if self.accelerator.scaler is not None and "scaler" in checkpoint.state:
            self.accelerator.scaler.load_state_dict(checkpoint.state["scaler"])
        _set_rng_state(checkpoint.state["rng"])
        extra: dict[str, Any] = checkpoint.state["extra"]
        return extra


def _precision(wanted: str, device: str) -> str:
    if wanted != "auto":
        return wanted
    if device != "cpu" and torch.cuda.is_available():
        return "bf16" if torch.cuda.is_bf16_supported() else "fp32"
    # Without AMX tiles a CPU emulates bf16: three times slower than fp32 (compact net, 48 features).
    return "bf16" if torch.cpu._is_amx_tile_supported() else "fp32"


def _optimiser(config: OptimiserConfig, method: Method, moved: tuple[str, ...]) -> torch.optim.Optimizer:
    parameters = [p for name in moved for p in method.networks[name].parameters() if p.requires_grad]
    optimiser: torch.optim.Optimizer = OPTIMISERS[config.name](
        parameters, lr=config.rate, betas=config.betas, weight_decay=config.weight_decay, fused=True
    )
    return optimiser


def _warmed_average(decay: float) -> Callable[[Any, Any, Any], None]:
    """An exponential moving average that forgets faster at first, so that short runs are not judged by their start."""

    @torch.no_grad()
    def average(averaged: list[Tensor], current: list[Tensor], count: Tensor) -> None:
        taken = float(count)
        torch._foreach_lerp_(averaged, current, 1 - min(decay, (1 + taken) / (10 + taken)))

    return average


def _rng_state() -> dict[str, Any]:
    kind, keys, position, has_gauss, cached = np.random.get_state(legacy=True)
    state: dict[str, Any] = {
        "torch": torch.get_rng_state(),
        "numpy": [str(kind), torch.from_numpy(np.asarray(keys, dtype=np.int64)), position, has_gauss, cached],
        "python": list(random.getstate()[1]),
    }
    if torch.cuda.is_available():
        state["cuda"] = torch.cuda.get_rng_state_all()
    return state


def _set_rng_state(state: dict[str, Any]) -> None:
    torch.set_rng_state(state["torch"])
    kind, keys, position, has_gauss, cached = state["numpy"]
    np.random.set_state((kind, keys.numpy().astype(np.uint32), position, has_gauss, cached))
    random.setstate((3, tuple(state["python"]), None))
    if "cuda" in state and torch.cuda.is_available():
        torch.cuda.set_rng_state_all(state["cuda"])
