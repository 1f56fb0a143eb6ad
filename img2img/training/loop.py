"""The training loop: steps, logging, validation, checkpoints, resume. One loop for every method."""

import math
import signal
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch
from accelerate.utils import set_seed
from torch import Tensor
from torch.utils.data import DataLoader, Dataset

from img2img import exchange
from img2img.errors import Interrupted, TrainingError
from img2img.methods.config import RunConfig
from img2img.methods.method import Method, Validation
from img2img.training.engine import Engine
from img2img.training.listener import Listener, Silence
from img2img.training.run import Run
from img2img.training.sheets import contact_sheet
from img2img.training.stream import Steps


@dataclass
class Outcome:
    """How a run ended: steps done of steps planned, the newest validation figures, the model files written."""

    step: int
    steps: int
    figures: dict[str, float]
    models: list[Path] = field(default_factory=list)


@dataclass
class _Sums:
    """Losses since the last log line, kept on the device so that no step waits for them."""

    count: int = 0
    totals: dict[str, Tensor] = field(default_factory=dict)

    def add(self, figures: dict[str, Tensor]) -> None:
        self.count += 1
        for name, value in figures.items():
            self.totals[name] = self.totals[name] + value if name in self.totals else value

    def means(self) -> dict[str, float]:
        return {name: float(total) / self.count for name, total in self.totals.items()} if self.count else {}


def train(
    method_type: type[Method],
    config: RunConfig,
    folder: Path,
    listener: Listener,
    *,
    device: str = "auto",
    threads: int | None = None,
    max_minutes: float | None = None,
) -> Outcome:
    """Train from scratch, or go on where the run in `folder` stopped, until `config.steps` or `max_minutes`.

    `threads` bounds the CPU threads of torch, for the whole process.

    Ends with a checkpoint and the exported, verified model files in `folder`.

    Raises:
        ConfigError, DataError: before the first step, with the key or file that is wrong.
        TrainingError: a loss is no longer finite; the last checkpoint is from before.
        Interrupted: Ctrl-C or SIGTERM; the state is saved.
        CheckpointError, ExportError: a file could not be written or read.
    """
    started = time.monotonic()
    if threads:
        torch.set_num_threads(threads)
    set_seed(config.seed)
    method = method_type(config)  # type: ignore[call-arg]
    dataset = method.load()
    engine = Engine(method, config, device)
    main = engine.accelerator.is_main_process
    if not main:
        listener = Silence()
    with engine.accelerator.main_process_first():
        run = Run(folder, config)
    for note in method.notes:
        listener.note(note)
    listener.note(f"training on {engine.accelerator.device} in {engine.precision}")

    step, sums, figures = 0, _Sums(), {}
    if run.store.steps():
        checkpoint = run.store.load()
        extra = engine.restore(checkpoint)
        step, figures = checkpoint.step, extra["figures"]
        sums = _Sums(extra["count"], {k: v.to(engine.accelerator.device) for k, v in extra["totals"].items()})
        listener.note(f"going on after step {step} of {config.steps}")
    if main:
        run.rewind_log(step)
    board = _board(run, step) if main else None

    def save(figure: float | None) -> None:
        if not all(math.isfinite(value) for value in sums.means().values()):
            raise TrainingError(_not_finite(step, run))
        extra = {"figures": figures, "count": sums.count, "totals": {k: v.cpu() for k, v in sums.totals.items()}}
        if main:
            run.store.save(engine.checkpoint(step, extra), figure)

    stopped = False
    listener.started(step, config.steps)
    with _stop_signals() as stop:
        for batch in _batches(dataset, engine, step):
            rate = engine.set_rates(step)
            sums.add(method.step(engine.networks, batch, engine.update))
            engine.average()
            step += 1
            losses = {}
            if step % config.log_every == 0:
                losses, sums = engine.mean(sums.means()), _Sums()
                if not all(math.isfinite(value) for value in losses.values()):
                    raise TrainingError(_not_finite(step, run))
                if main:
                    run.log(step, losses | {"rate": rate})
                    _write(board, step, losses | {"rate": rate}, "train")
            listener.stepped(step, losses)
            out_of_time = max_minutes is not None and time.monotonic() - started > max_minutes * 60
            stopped = engine.agree(stop.is_set)
            last = engine.agree(step == config.steps or out_of_time or stopped)
            figure = None
            if main and (step % config.validate_every == 0 or (last and not stopped)):
                figures = _validate(method, engine, run, step, board)
                figure = figures[method.headline]
                best = run.store.best()
                listener.validated(step, figures, best=best is None or figure > best[1])
            if step % config.checkpoint_every == 0 or figure is not None or last:
                save(figure)
            if last:
                break
    if board:
        board.close()
    if stopped:
        raise Interrupted(f"stopped after step {step} of {config.steps}; the same command goes on from there")
    outcome = Outcome(step, config.steps, figures)
    if main:
        for model in method.models(engine.judged()):
            target = run.folder / f"model{model.suffix}.onnx"
            exchange.export(model.network, model.card, target)
            outcome.models.append(target)
    engine.accelerator.wait_for_everyone()
    engine.accelerator.end_training()
    return outcome


def _batches(dataset: Dataset[dict[str, Tensor]], engine: Engine, step: int) -> Iterator[dict[str, Tensor]]:
    config, accelerator = engine.config, engine.accelerator
    on_gpu = accelerator.device.type == "cuda"
    workers = config.workers if config.workers is not None else (8 if on_gpu else 0)
    order = Steps(
        step, config.steps, config.batch, process=accelerator.process_index, processes=accelerator.num_processes
    )
    loader = DataLoader(dataset, batch_sampler=order, num_workers=workers, pin_memory=on_gpu)
    for batch in loader:
        moved = {name: value.to(accelerator.device, non_blocking=True) for name, value in batch.items()}
        if config.channels_last:
            moved = {n: v.to(memory_format=torch.channels_last) if v.ndim == 4 else v for n, v in moved.items()}
        yield moved


def _validate(method: Method, engine: Engine, run: Run, step: int, board: Any) -> dict[str, float]:
    validation: Validation = method.validate(engine.judged())
    engine.train()
    run.log(step, {"validation": validation.figures})
    _write(board, step, validation.figures, "validation")
    if validation.rows:
        sheet = contact_sheet(validation.columns, validation.rows)
        sheet.save(run.folder / "samples" / f"step-{step:08d}.png")
    return validation.figures


def _board(run: Run, step: int) -> Any:
    from torch.utils.tensorboard import SummaryWriter

    return SummaryWriter(str(run.folder / "events"), purge_step=step + 1 if step else None)


def _write(board: Any, step: int, figures: dict[str, float], group: str) -> None:
    if board:
        for name, value in figures.items():
            board.add_scalar(f"{group}/{name}", value, step)


def _not_finite(step: int, run: Run) -> str:
    kept = run.store.steps()
    back = f"the checkpoint of step {kept[-1]} is from before" if kept else "nothing was saved yet"
    return f"a loss is no longer finite at step {step}; {back}. Begin a run with a lower --set optimiser.rate=..."


@dataclass
class _Stop:
    is_set: bool = False


@contextmanager
def _stop_signals() -> Iterator[_Stop]:
    """The first Ctrl-C or SIGTERM asks for an orderly stop after the running step; the second one interrupts it."""
    stop = _Stop()

    def ask(signum: int, frame: object) -> None:
        if stop.is_set:
            raise KeyboardInterrupt
        stop.is_set = True

    before = {}
    try:
        for number in (signal.SIGINT, signal.SIGTERM):
            before[number] = signal.signal(number, ask)
    except ValueError:  # not the main thread: its owner stops us
        pass
    try:
        yield stop
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
