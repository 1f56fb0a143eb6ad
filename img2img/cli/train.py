"""`img2img train METHOD`: train a model on folders of pictures."""

from __future__ import annotations

import gc
import os
import sys
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from itertools import pairwise
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from img2img.cli import console, options, run_settings, trainer
from img2img.errors import ConfigError, ExitStatus, Interrupted
from img2img.methods import METHODS
from img2img.runtime.network.usage import usage
from img2img.text import count_of, show, show_duration

if TYPE_CHECKING:
    from img2img.methods.config import RunConfig
    from img2img.methods.method import Method
    from img2img.training.loop import Outcome

SMOKE_STEPS = 3
SMOKE_MINUTES = 0.25
"""After this time, a smoke run takes no second or third step."""

SMOKE_PICTURES = 2
"""Held-out pictures that a smoke run validates on."""


def train(
    method: Annotated[str, typer.Argument(help=f"{', '.join(METHODS)}.", metavar="METHOD")],
    data: Annotated[
        list[Path] | None,
        typer.Option("--data", "-d", metavar="FOLDER", help="Training pictures: a folder or a table; repeatable."),
    ] = None,
    out: Annotated[
        Path | None,
        typer.Option(
            "--out", "-o", metavar="RUN", help="Run folder; continues an existing run. [default: runs/METHOD]"
        ),
    ] = None,
    config: Annotated[Path | None, typer.Option(metavar="FILE", help="Read settings from a TOML file.")] = None,
    assignments: Annotated[
        list[str] | None,
        typer.Option("--set", metavar="KEY=VALUE", help="Change a setting, such as --set optimiser.rate=5e-4."),
    ] = None,
    start: Annotated[
        Path | None,
        typer.Option(metavar="WEIGHTS", help="Start from a run, checkpoint, weights file or model (file or name)."),
    ] = None,
    stage: Annotated[
        str | None,
        typer.Option(metavar="NAME", help="Stage to train, if the method has several (esrgan: adversarial)."),
    ] = None,
    scale: Annotated[int | None, typer.Option(metavar="N", help="Super-resolution factor.")] = None,
    steps: Annotated[int | None, typer.Option(metavar="N", help="Training steps.")] = None,
    max_minutes: Annotated[
        float | None, typer.Option(min=0, help="Stop after this many minutes; run the same command to continue.")
    ] = None,
    resume: Annotated[bool, typer.Option("--resume", help="Fail if --out holds no run to continue.")] = False,
    smoke: Annotated[
        bool,
        typer.Option("--smoke", help="Test the run: up to three steps, a validation, an export; keep nothing."),
    ] = False,
    device: Annotated[str, typer.Option(metavar="auto|cpu|cuda", help="Where to train.")] = "auto",
    threads: Annotated[int | None, typer.Option(min=1, help="CPU threads. [default: all cores]")] = None,
    max_pixels: options.MaxPixels = None,
    show_config: Annotated[
        bool, typer.Option("--show-config", help="Print every setting with its meaning and exit.")
    ] = False,
    schema: Annotated[bool, typer.Option("--schema", help="Print the JSON schema of the settings and exit.")] = False,
    quiet: Annotated[bool, typer.Option("--quiet", "-q", help="Print errors only.")] = False,
) -> None:
    """Train a model on your own pictures. The result is RUN/model.onnx, checked against the network.

    \b
    Train a 4x upscaler:             img2img train esrgan --data photos/
    Train on pairs (A/ and B/):      img2img train pix2pix --data facades/
    Train on two unpaired folders:   img2img train cyclegan --data summer/ --data winter/
    Train on a folder per style:     img2img train stargan --data styles/
    Train an inpainting model:       img2img train inpaint --data photos/
    Fine-tune a bundled model:       img2img train esrgan --data photos/ --start upscale-x4

    Run the same command again to continue exactly where it stopped.
    """
    trainer.need_training_packages()
    from img2img import methods

    method_type = methods.find(method)
    if schema:
        run_settings.print_schema(method_type.recipe.of_stage({"stage": stage} if stage else {}))
        return
    if stage is not None and "stage" not in method_type.recipe.model_fields:
        raise ConfigError(f"--stage {stage}: {method} has one stage; omit --stage")
    folder = out or Path("runs") / method
    if smoke and resume:
        raise ConfigError("--smoke tests a new run; omit --resume")
    # Without --out, --show-config shows the recipe, also if the default folder holds a run.
    source = config or (None if show_config and out is None else run_settings.of_run(folder))
    if resume and run_settings.of_run(folder) is None:
        raise ConfigError(f"--resume: {folder} holds no run with a checkpoint; omit --resume to start one")
    shortcuts: dict[str, Any] = {"method": method, "stage": stage, "start": start, "scale": scale, "steps": steps}
    values = run_settings.combine(
        method_type.recipe,
        source,
        folder,
        {key: str(v) if isinstance(v, Path) else v for key, v in shortcuts.items() if v is not None},
        [str(path) for path in data or []],
        [*(assignments or []), *trainer.limit(max_pixels)],
    )
    if show_config:
        run_settings.print_settings(method_type.recipe, values)
        return
    if not run_settings.has_data(values):
        raise ConfigError("no data: name a folder of pictures with --data")
    resolved = method_type.recipe.parse(values, where="settings")
    if source is not None and source != config:
        run_settings.check_data_is_there(resolved, folder)
    elif (folder / "config.toml").exists() and run_settings.of_run(folder) is None and not quiet:
        console.say(f"{folder} has no checkpoint to continue from: starting anew, with the settings of this command")

    with _quick_exit():
        if smoke:
            _smoke(method_type, resolved, device, threads)
        else:
            _train(method_type, resolved, folder, quiet, device=device, threads=threads, max_minutes=max_minutes)
    _exit_process()


def _train(method_type: type[Method], config: RunConfig, folder: Path, quiet: bool, **limits: Any) -> None:
    from img2img.training.listener import SilentListener
    from img2img.training.loop import train as run

    listener = SilentListener() if quiet else Watcher(config.steps)
    try:
        outcome = run(method_type, config, folder, listener, **limits)
    finally:
        if isinstance(listener, Watcher):
            listener.close()
    if not quiet:
        _report(outcome, listener.note)


@contextmanager
def _quick_exit() -> Iterator[None]:
    """Let an interrupt inside the block end the process without the interpreter's last search for garbage.

    After training it would look at a million objects of torch, which takes seconds.
    """
    try:
        yield
    except (Interrupted, KeyboardInterrupt):
        gc.freeze()
        raise


def _report(outcome: Outcome, say: Callable[[str], None]) -> None:
    if outcome.step < outcome.steps:
        say(f"time is up after step {outcome.step} of {outcome.steps}; run the same command to continue")
    elif not outcome.models:
        say("this stage writes no model; train the next one, with --start and this run")
    for model, card in outcome.models.items():
        say(f"wrote {model}, checked against the network; use it with")
        say(f"  {usage(model, card)}")
    if outcome.report is not None:
        say(f"curves, samples and settings: {outcome.report}")


def _exit_process() -> None:
    """End one of several processes whose work is done and saved, without the shutdown of the interpreter.

    The threads of gloo's process group sometimes outlive it and abort the process ("terminate called without an active
    exception"). The launcher would then report a finished run as failed.
    """
    if int(os.environ.get("WORLD_SIZE", "1")) > 1:
        sys.stdout.flush()
        sys.stderr.flush()
        os._exit(ExitStatus.OK)


def _smoke(method_type: type[Method], config: RunConfig, device: str, threads: int | None) -> None:
    """Run a short training in a temporary folder, to find out what would go wrong in the long one."""
    import tempfile

    from img2img.runtime.network import memory
    from img2img.training.loop import train as run

    class Timed(Watcher):
        times: list[float]

        def started(self, step: int, steps: int) -> None:
            self.first = (step, time.monotonic())
            self.times = [time.monotonic()]

        def stepped(self, step: int, figures: Mapping[str, float]) -> None:
            self.times.append(time.monotonic())

    listener = Timed(config.steps)
    config = config.model_copy(update={"validate_pictures": SMOKE_PICTURES})
    with tempfile.TemporaryDirectory() as place:
        try:
            outcome = run(
                method_type,
                config,
                Path(place) / "smoke",
                listener,
                device=device,
                threads=threads,
                max_minutes=SMOKE_MINUTES,
                max_steps=SMOKE_STEPS,
                measure_context=False,
                report=False,
            )
        except Interrupted as error:
            raise Interrupted("stopped; --smoke keeps nothing") from error
        finally:
            listener.close()
    seconds = min(after - before for before, after in pairwise(listener.times))
    used = f"{memory.peak() / 2**30:.1f} GB of memory"
    if outcome.gpu_bytes:
        used += f", {outcome.gpu_bytes / 2**30:.1f} GB on the GPU"
    models = count_of(len(outcome.models), "model")
    left = show_duration(seconds * config.steps)
    listener.note(
        f"it works: data, {count_of(outcome.step, 'step')}, validation and export of {models}; "
        f"{seconds:.2g} s per step, {used}; all {config.steps} steps will take about {left}"
    )


class Watcher:
    """The listener of the command line: a live progress line on a terminal, plain lines elsewhere."""

    def __init__(self, steps: int) -> None:
        from rich.console import Console

        self.console = Console(stderr=True, highlight=False)
        self.steps = steps
        self.losses: dict[str, float] = {}
        self.validation: dict[str, float] = {}
        self.progress: Any = None
        self.first: tuple[int, float] | None = None

    def note(self, text: str) -> None:
        self.console.print(console.plain(text), soft_wrap=True)

    def started(self, step: int, steps: int) -> None:
        self.first = (step, time.monotonic())
        if not self.console.is_terminal:
            return
        from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

        self.progress = Progress(
            TextColumn("training"),
            BarColumn(bar_width=10),
            MofNCompleteColumn(),
            TextColumn("{task.fields[figures]}", markup=False),
            TimeRemainingColumn(compact=True),
            TextColumn("left"),
            console=self.console,
        )
        self.progress.start()
        self.task = self.progress.add_task("", total=steps, completed=step, figures="")

    def stepped(self, step: int, figures: Mapping[str, float]) -> None:
        self.losses.update(figures)
        if self.progress:
            self.progress.update(self.task, completed=step, figures=show(self._line(step, short=True)))

    def validated(self, step: int, figures: Mapping[str, float], *, best: bool) -> None:
        self.validation.update(figures)
        if not self.progress:
            mark = ", the best so far" if best else ""
            self.note(f"step {step} of {self.steps}  {self._line(step)}{mark}  {self._left(step)}")

    def close(self) -> None:
        if self.progress:
            self.progress.stop()
            self.progress = None

    def _line(self, step: int, *, short: bool = False) -> str:
        """Return the latest figures and the speed. `short` fits 80 columns: one loss and one validation figure."""
        losses, validation = list(self.losses.items()), list(self.validation.items())
        shown = losses[:1] + validation[:1] if short else losses + validation
        parts = [f"{name} {value:.4g}" for name, value in shown]
        return "  ".join([*parts, f"{self._speed(step):.2f} steps/s"])

    def _speed(self, step: int) -> float:
        assert self.first
        return (step - self.first[0]) / max(time.monotonic() - self.first[1], 1e-9)

    def _left(self, step: int) -> str:
        return f"{show_duration((self.steps - step) / max(self._speed(step), 1e-9))} left"
