"""Runs one side of a training benchmark in its own process: `ours` (the engine) or `plain` (a plain loop).

python benchmarks/training_side.py SIDE METHOD CONFIG.json OUT.json STEPS

The plain loop is written like those of the official repositories: eager, float32, NCHW, Adam without fusing, batches
from a DataLoader in the same process, the discriminator's gradients switched off while the generator learns. Networks,
objectives, data and batch are the same objects in both. The output holds the seconds of each step and the seconds spent
waiting for data.
"""

import json
import sys
import time
from pathlib import Path
from typing import Any

import torch
from torch.utils.data import DataLoader

from img2img import methods
from img2img.methods.method import Method
from img2img.training.engine import Engine
from img2img.training.stream import Steps

WARM_UP = 3


class Plain:
    """Stands in for `Engine` in `benchmark`, as a plain loop."""

    def __init__(self, method: Method, rate: float, betas: tuple[float, float]) -> None:
        self.method = method
        self.optimisers = {
            name: torch.optim.Adam(
                [p for network in moved.networks for p in method.networks[network].parameters()], lr=rate, betas=betas
            )
            for name, moved in method.optimisers.items()
        }
        self.order: list[str] = []

    def step(self, batches: list[dict[str, torch.Tensor]]) -> None:
        run = self.method.step(self.method.networks, batches)
        order: list[str] = []
        try:
            while True:
                self._switch(self.order[len(order)] if len(order) < len(self.order) else "discriminator")
                name, loss = next(run)
                order.append(name)
                self.optimisers[name].zero_grad()
                loss.backward()
                self.optimisers[name].step()
        except StopIteration:
            self.order = order

    def _switch(self, turn: str) -> None:
        """The official code's `set_requires_grad(discriminator, ...)`."""
        for name, moved in self.method.optimisers.items():
            if name != "generator":
                for network in moved.networks:
                    self.method.networks[network].requires_grad_(turn != "generator")


def main(side: str, name: str, config_file: str, out: str, steps: str) -> None:
    torch.manual_seed(0)
    method_type: Any = methods.find(name)
    values = json.loads(Path(config_file).read_text())
    config = method_type.recipe.parse(method_type.recipe.with_defaults(values), where="benchmark")
    method = method_type(config)
    dataset = method.load()
    count = WARM_UP + int(steps)
    order = Steps(0, count * method.batches, config.batch)
    loader = iter(DataLoader(dataset, batch_sampler=order))
    if side == "ours":
        engine = Engine(method, config, "cpu")
    else:
        plain = Plain(method, config.optimiser.rate, config.optimiser.betas)
    seconds, waiting = [], 0.0
    for step in range(count):
        began = time.perf_counter()
        batches = [next(loader) for _ in range(method.batches)]
        waited = time.perf_counter() - began
        if side == "ours":
            if engine.channels_last:
                last = torch.channels_last
                batches = [
                    {k: v.to(memory_format=last) if v.ndim == 4 else v for k, v in batch.items()} for batch in batches
                ]
            engine.set_rates(step)
            engine.seed(step)
            engine.step(batches)
            engine.update_averages()
        else:
            plain.step(batches)
        if step >= WARM_UP:
            seconds.append(time.perf_counter() - began)
            waiting += waited
    Path(out).write_text(json.dumps({"seconds": seconds, "waiting": waiting, "batch": config.batch}))


if __name__ == "__main__":
    main(*sys.argv[1:])
