"""The training loop, the same for every method: steps, validation, checkpoints, resume."""

import math
import time
from collections.abc import Iterator
from contextlib import AbstractContextManager, ExitStack, nullcontext
from dataclasses import dataclass, field
from pathlib import Path

import torch
from accelerate.utils import set_seed
from torch import Tensor
from torch.utils.data import Dataset

from img2img import exchange
from img2img.errors import CheckpointError, Interrupted, PictureError, TrainingError
from img2img.methods.config import RunConfig
from img2img.methods.method import Batch, Method
from img2img.runtime.network.card import Card
from img2img.training import limits, start
from img2img.training.checkpoints import Checkpoint, Store
from img2img.training.engine import Engine, copied
from img2img.training.health import Health
from img2img.training.listener import Listener, SilentListener
from img2img.training.record import Record
from img2img.training.reporter import Reporter, session
from img2img.training.run import Run, check_folder
from img2img.training.stop import Stopped, StopRequest, signals_during_backward, stop_signals
from img2img.training.stream import Steps, load_batches

ROLLBACKS = 3
"""How often a run returns to its last checkpoint after a loss that is not finite. Each time the learning rates are
halved.
"""

SLOW_STEP = 2.0
"""Seconds. If a step took longer, the next one can be abandoned: the loop keeps a copy of the state before it."""

COPY_SHARE = 0.05
"""Largest share of a step that the copy may take. Otherwise, steps are finished."""


@dataclass
class Outcome:
    """How a run ended.

    Attributes:
        step, steps: completed steps, and planned steps.
        figures: the latest validation figures.
        models: the model files written, with the cards that they were given.
        seconds: time spent in steps, without validations and checkpoints.
        waiting: the part of `seconds` spent waiting for data.
        gpu_bytes: peak GPU memory; 0 without a GPU.
        report: the page about the run; None if it was not written.
    """

    step: int
    steps: int
    figures: dict[str, float]
    models: dict[Path, Card] = field(default_factory=dict)
    seconds: float = 0.0
    waiting: float = 0.0
    gpu_bytes: int = 0
    report: Path | None = None


@dataclass
class _RunningMeans:
    """Means of the figures since the last log line, summed on the device so that no step waits for them."""

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
    max_steps: int | None = None,
    measure_context: bool = True,
    report: bool = True,
) -> Outcome:
    """Train until `config.steps`, from scratch or from where the run in `folder` stopped.

    This ends with a checkpoint and the exported, verified model files in `folder`.

    Args:
        threads: limit on the CPU threads of torch, for the whole process.
        max_minutes, max_steps: stop earlier, after this many minutes or steps of this call. The models are still
            written.
        measure_context: whether the cards of the models say how much of the picture a result depends on. That takes
            minutes for deep networks; without it, models run on whole pictures.
        report: whether to write report.html, after each validation and at the end.

    Raises:
        ConfigError, DataError: before the first step. The message names the key or the file.
        TrainingError: a loss is not finite, even after several returns to the last checkpoint.
        Interrupted: Ctrl-C or SIGTERM. The state is saved.
        CheckpointError, ExportError: a file cannot be written or read.
    """
    started = time.monotonic()
    if threads and (limited := limits.limit_threads(threads)):
        listener.note(limited)
    check_folder(folder)
    limits.check_batch(config, device)
    set_seed(config.seed)
    method = method_type(config)
    dataset = method.load()
    training = _Training(method, dataset, config, folder, listener, device)
    try:
        training.restore()
        if report:
            training.begin_report()
        with stop_signals() as stop:
            training.stop = stop
            training.run_steps(started + 60 * max_minutes if max_minutes is not None else math.inf, max_steps)
        outcome = training.finish(measure_context=measure_context)
        outcome.report = training.report(running=False)
        return outcome
    except KeyboardInterrupt as error:  # a second Ctrl-C, or one while the models are written
        raise Interrupted(training.saved_work()) from error
    except (MemoryError, torch.OutOfMemoryError) as error:
        raise TrainingError(
            f"not enough memory for batch = {config.batch}; start a run with a smaller batch or data.crop, or with a "
            "larger accumulate"
        ) from error
    except (OSError, PictureError) as error:  # from the log, sheets and events; checkpoints and models raise their own
        reason = error.strerror if isinstance(error, OSError) else error
        raise TrainingError(f"{folder}: cannot be written ({reason}); {training.run.store.last_good()}") from error
    finally:
        training.report(running=False)
        training.run.close()


class _Training:
    def __init__(
        self, method: Method, dataset: Dataset[Batch], config: RunConfig, folder: Path, listener: Listener, device: str
    ) -> None:
        self.method = method
        self.dataset = dataset
        self.config = config
        begun = bool(Store(folder / "checkpoints", config.keep).steps())
        notes = start.load(config.start, method) if config.start and not begun else []
        self.engine = Engine(method, config, device)
        self.main = self.engine.accelerator.is_main_process
        self.listener = listener if self.main else SilentListener()
        with self.engine.accelerator.main_process_first():
            self.run = Run(folder, config, method.facts, lock=self.main)
        for note in [*method.notes, *notes, *self.run.notes]:
            self.listener.note(note)
        self.listener.note(f"training on {self.engine.accelerator.device} in {self.engine.precision}")
        self.step = 0
        self.sums = _RunningMeans()
        self.figures: dict[str, float] = {}
        self.health = Health()
        self.rollbacks = 0
        self.fits = False
        self.stop = StopRequest()
        self.validation_due = False
        self.seconds_of_step, self.seconds_of_copy = math.inf, 0.0
        self.before: Checkpoint | None = None
        self.abandoned = False
        self.outcome = Outcome(0, config.steps, {})
        self.initial: Checkpoint | None = None
        self.record: Record | None = None
        self.reporter: Reporter | None = None

    def restore(self) -> None:
        """Continue from the last good checkpoint, if there is one."""
        if self.run.store.steps():
            self._restore(self._last_good())
            self.listener.note(_continuing(self.step, self.config.steps))
        self.initial = copied(self._checkpoint()) if not self.step else None
        self.record = Record(self.run, self.step) if self.main else None

    def begin_report(self) -> None:
        """Keep a page about the run up to date from now on."""
        if not self.main:
            return
        described = session(self.engine, self.workers)
        self.reporter = Reporter(self.run.folder, self.step, described, self.listener.note)
        crop = int(getattr(getattr(self.config, "data", None), "crop", 0))
        self.reporter.show_data(self.dataset, crop=crop, notes=self.method.notes)
        self.report(running=True)

    def report(self, *, running: bool) -> Path | None:
        """Write the page about the run as it is now. Return it, or None if there is none. The last page is final."""
        reporter = self.reporter
        if reporter is None:
            return None
        reporter.timed(self.step, self.outcome.seconds, self.outcome.waiting)
        if not running:
            self.reporter = None
        return reporter.path if reporter.write(running=running) else None

    def run_steps(self, deadline: float, max_steps: int | None) -> None:
        """Take steps until the last one, the deadline, or a request to stop. The state is saved in every case."""
        try:
            self._take_steps(deadline, max_steps)
        except Stopped:
            self._save_before_stop()
        if self.engine.any_process(self.stop.is_set):
            self._close()
            raise Interrupted(self.saved_work())

    def _take_steps(self, deadline: float, max_steps: int | None) -> None:
        end = self.config.steps if max_steps is None else min(self.step + max_steps, self.config.steps)
        self.listener.started(self.step, self.config.steps)
        if self.validation_due:  # the run was stopped before or during it
            self._save(self._validate())
            self.report(running=True)
        stopped = False
        while self.step < end and not stopped:
            for batches in self._batches():
                losses = self._run_step(batches)
                if losses is None:
                    self._roll_back()
                    break
                self.listener.stepped(self.step, losses)
                stopped = self.engine.any_process(self.stop.is_set)
                last = stopped or self.engine.any_process(self.step >= end or time.monotonic() > deadline)
                figure = None
                self.validation_due = self.step % self.config.validate_every == 0 or (last and not stopped)
                if self.validation_due and not stopped:
                    figure = self._validate()
                if self.step % self.config.checkpoint_every == 0 or figure is not None or last:
                    if not self._finite():
                        self._roll_back()
                        break
                    self._save(figure)
                    if figure is not None:
                        self.report(running=True)
                if last:
                    end = self.step
                    break

    def saved_work(self) -> str:
        """Return what an interrupted run has saved, and how to continue it."""
        saved, steps = self.run.store.steps(), self.config.steps
        if not saved:
            return "stopped before the first checkpoint: nothing is saved"
        purpose = "continue" if saved[-1] < steps else "write the model"
        return f"stopped after step {saved[-1]} of {steps}, which is saved; run the same command to {purpose}"

    def finish(self, *, measure_context: bool) -> Outcome:
        """Write the models of a run that was not interrupted."""
        self._close()
        self.outcome.step, self.outcome.figures = self.step, self.figures
        self.outcome.gpu_bytes = torch.cuda.max_memory_allocated() if torch.cuda.is_available() else 0
        if self.main:
            for model in self.method.models(self.engine.evaluation_networks()):
                target = self.run.folder / f"model{model.suffix}.onnx"
                exchange.export(model.network, model.card, target, context="measured" if measure_context else None)
                self.outcome.models[target] = model.card
        self.engine.accelerator.wait_for_everyone()
        self.engine.accelerator.end_training()
        return self.outcome

    def _run_step(self, batches: list[Batch]) -> dict[str, float] | None:
        """Take one step. Return the figures to log, empty between log lines, or None if they are not finite.

        Raises:
            Stopped: the user has asked to stop in the middle of the step. Then `before` holds the state to save.
        """
        began = time.monotonic()
        log = (self.step + 1) % self.config.log_every == 0
        rate = self.engine.begin(self.step)
        with ExitStack() as around:
            if not self.fits:  # the first step shows whether a step fits into the memory
                around.enter_context(limits.memory_guard(self.config, self.engine.accelerator.device))
            slow = self.seconds_of_step > max(SLOW_STEP, self.seconds_of_copy / COPY_SHARE)
            if slow and self._alone:
                # A half-taken step cannot be saved. Before the first one, the state is on the disk, or nothing is lost.
                if self.fits:
                    self.before = copied(self._checkpoint(), self.before)
                    self.seconds_of_copy = time.monotonic() - began
                if not self.config.compile:  # hooks would compile the networks again
                    around.enter_context(signals_during_backward())
                self.abandoned = True
                around.enter_context(self.stop.at_once())
            figures = self.engine.step(batches, measure=log)
        self.fits, self.abandoned = True, False
        norms = {name: figures.pop(name) for name in list(figures) if name.startswith("gradient/")}
        self.sums.add(figures)
        self.engine.update_averages()
        self.step += 1
        losses: dict[str, float] = {}
        if log:
            losses = self.engine.mean(self.sums.means() | {name: float(norm) for name, norm in norms.items()})
            self.sums = _RunningMeans()
            # With fp16 a gradient may overflow: the loss scaling skips that update.
            if not all(math.isfinite(v) for n, v in losses.items() if not n.startswith("gradient/")):
                return None
            if self.record:
                self.record.losses(self.step, losses | {"rate": rate})
                for warning in self.health.logged(losses):
                    self._warn(warning)
        self.seconds_of_step = time.monotonic() - began
        self.outcome.seconds += self.seconds_of_step
        if log and self.reporter:
            self.reporter.timed(self.step, self.outcome.seconds, self.outcome.waiting)
        return losses

    def _batches(self) -> Iterator[list[Batch]]:
        config, accelerator, count = self.config, self.engine.accelerator, self.method.batches
        order = Steps(
            self.step * count,
            config.steps * count,
            config.batch,
            process=accelerator.process_index,
            processes=accelerator.num_processes,
        )
        loader = load_batches(self.dataset, order, workers=self.workers, pin_memory=self._on_gpu)
        for _ in range(self.step, config.steps):
            began = time.monotonic()
            with self._at_once():
                batches = [self._to_device(next(loader)) for _ in range(count)]
            waited = time.monotonic() - began
            self.outcome.seconds += waited
            self.outcome.waiting += waited
            yield batches

    @property
    def workers(self) -> int:
        """The processes that load data."""
        return self.config.workers if self.config.workers is not None else (8 if self._on_gpu else 0)

    @property
    def _on_gpu(self) -> bool:
        return bool(self.engine.accelerator.device.type == "cuda")

    def _to_device(self, batch: Batch) -> Batch:
        moved = {name: value.to(self.engine.accelerator.device, non_blocking=True) for name, value in batch.items()}
        if self.engine.channels_last:
            moved = {n: v.to(memory_format=torch.channels_last) if v.ndim == 4 else v for n, v in moved.items()}
        return moved

    def _validate(self) -> float | None:
        if not self.record:
            self.validation_due = False
            return 0.0  # every process must know that there was a validation
        with self._at_once():
            validation = self.method.validate(self.engine.evaluation_networks())
        self.validation_due = False
        self.engine.train()
        self.figures = validation.figures
        self.record.validation(self.step, validation)
        figure = self.figures[self.method.headline]
        best = self.run.store.best()
        self.listener.validated(self.step, self.figures, best=best is None or figure > best[1])
        for warning in self.health.validated(self.figures):
            self._warn(warning)
        return figure

    def _finite(self) -> bool:
        return all(math.isfinite(value) for value in self.engine.mean(self.sums.means()).values())

    @property
    def _alone(self) -> bool:
        """Whether no other process takes part. Several processes stop together, after a step."""
        return int(self.engine.accelerator.num_processes) == 1

    def _at_once(self) -> AbstractContextManager[None]:
        return self.stop.at_once() if self._alone else nullcontext()

    def _save_before_stop(self) -> None:
        """Save the state before the step that was abandoned, or the present one, unless it is on the disk already."""
        checkpoint = self.before if self.abandoned else self._checkpoint()
        if checkpoint is None or not checkpoint.step or checkpoint.step in self.run.store.steps():
            return
        totals: dict[str, Tensor] = checkpoint.state["extra"]["totals"]
        if all(math.isfinite(total) for total in totals.values()):
            self.run.store.save(checkpoint)

    def _checkpoint(self) -> Checkpoint:
        totals = {name: total.cpu() for name, total in self.sums.totals.items()}
        extra = {"figures": self.figures, "count": self.sums.count, "totals": totals, "rollbacks": self.rollbacks}
        extra["validation_due"] = self.validation_due
        return self.engine.checkpoint(self.step, extra)

    def _save(self, figure: float | None) -> None:
        checkpoint = self._checkpoint()
        if self.main:
            self.run.store.save(checkpoint, figure)
        self.initial = None

    def _last_good(self) -> Checkpoint:
        with self.engine.accelerator.main_process_first():  # sets damaged ones aside before the others look
            return self.run.store.load_last_good(self.listener.note)

    def _restore(self, checkpoint: Checkpoint) -> None:
        device = self.engine.accelerator.device
        try:
            extra = self.engine.restore(checkpoint)
            self.step, self.figures, self.rollbacks = checkpoint.step, extra["figures"], extra["rollbacks"]
            self.validation_due = extra.get("validation_due", False)
            totals = {name: total.to(device) for name, total in extra["totals"].items()}
            self.sums = _RunningMeans(extra["count"], totals)
        except (AttributeError, LookupError, RuntimeError, TypeError, ValueError) as error:
            raise CheckpointError(
                f"{self.run.store.folder}: state.pt of step {checkpoint.step} does not hold the state of this run"
            ) from error

    def _roll_back(self) -> None:
        """Return to the last checkpoint, or to the start, and halve the learning rates."""
        at, rollbacks, slowdown = self.step, self.rollbacks + 1, self.engine.slowdown / 2
        self.engine.accelerator.wait_for_everyone()
        checkpoint = self.initial or self._last_good()
        if rollbacks > ROLLBACKS:
            raise TrainingError(
                f"a loss is not finite at step {at}, after {ROLLBACKS} returns to a checkpoint; the checkpoint of step "
                f"{checkpoint.step} is good. Start a run with a lower --set optimiser.rate=..."
            )
        self._restore(checkpoint)
        self.rollbacks, self.engine.slowdown = rollbacks, slowdown
        if self.record:
            self.record.rewind(self.step)
        self._warn(
            f"warning: a loss is not finite at step {at}: returning to step {self.step} with "
            f"{slowdown:g} of the learning rate"
        )

    def _warn(self, text: str) -> None:
        self.listener.note(text)
        if self.record:
            self.record.warning(self.step, text)

    def _close(self) -> None:
        if self.record:
            self.record.close()
            self.record = None


def _continuing(step: int, steps: int) -> str:
    if step < steps:
        return f"continuing after step {step} of {steps}"
    if step == steps:
        return f"this run is finished: all {steps} steps are done. To train on, raise --steps"
    return f"this run has taken {step} steps already, more than {steps}. To train on, set --steps above {step}"
