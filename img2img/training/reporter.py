"""Writes the report of a run while it trains, and notes on which machine and how fast it trains.

It touches neither the networks nor a random number. If it fails, the training goes on.
"""

import json
import platform
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import torch

from img2img.atomic import atomic
from img2img.data import seen as data_seen
from img2img.evaluation.report import run_page
from img2img.evaluation.report.folder import SEEN, RunFolder
from img2img.evaluation.report.speed import FILE
from img2img.runtime.network import cpu
from img2img.training import seen
from img2img.training.engine import Engine
from img2img.version import __version__

NAME = "report.html"
ITEMS = 16
"""Training pictures in the report."""

SIDE = 144
"""Their side in pixels."""


class Reporter:
    """Keeps RUN/report.html up to date. Only the main process has one.

    Args:
        note: shows a message to the user.
    """

    def __init__(self, folder: Path, step: int, session: dict[str, Any], note: Callable[[str], None]) -> None:
        self.path = folder / NAME
        self._folder = folder
        self._note = note
        self._failed = False
        self._last = step, 0.0, 0.0
        self._run: RunFolder | None = None
        self._append({"step": step, "session": session})

    def show_data(self, dataset: Any, *, crop: int, notes: Sequence[str]) -> None:
        """Draw training pictures as the method sees them, unless an earlier part of the run has done so."""
        if (self._folder / SEEN).exists():
            return
        try:
            items = data_seen.look(dataset, crop=crop, count=ITEMS)
            seen.save(self._folder, items, notes, side=SIDE)
        except Exception as error:  # whatever it is: a preview must not stop a training
            self._fail("the preview of the data", error)

    def timed(self, step: int, seconds: float, waiting: float) -> None:
        """Note the time that this call of `train` has taken until `step`, and the part of it spent waiting for data."""
        before, spent, waited = self._last
        self._last = step, seconds, waiting
        if step <= before:  # the run has returned to a checkpoint
            return
        entry = {"step": step, "steps": step - before, "seconds": seconds - spent, "waiting": waiting - waited}
        entry = {key: round(value, 4) for key, value in entry.items()}
        if torch.cuda.is_available():
            entry["gpu_bytes"] = torch.cuda.max_memory_allocated()
        self._append(entry)

    def write(self, *, running: bool) -> bool:
        """Write the page. Returns whether that worked; a failure is a note."""
        try:
            self._run = self._run or RunFolder(self._folder)
            html = run_page.build(self._run.read(), running=running)
            with atomic(self.path) as file:
                file.write(html.encode())
        except Exception as error:
            self._fail(NAME, error)
            return False
        return True

    def _append(self, entry: dict[str, Any]) -> None:
        try:
            with (self._folder / FILE).open("a", encoding="utf-8") as file:
                file.write(json.dumps(entry) + "\n")
        except OSError as error:
            self._fail(FILE, error)

    def _fail(self, what: str, error: Exception) -> None:
        if not self._failed:  # once is enough
            reason = error.strerror if isinstance(error, OSError) and error.strerror else error
            self._note(f"{what} could not be written ({reason}); the training is not affected")
        self._failed = True


def session(engine: Engine, workers: int) -> dict[str, Any]:
    """Describe the machine and how this call of `train` uses it, as plain values."""
    accelerator = engine.accelerator
    device = accelerator.device
    return {
        "device": str(device),
        "device_name": torch.cuda.get_device_name(device) if device.type == "cuda" else cpu.name(),
        "precision": engine.precision,
        "processes": accelerator.num_processes,
        "threads": torch.get_num_threads(),
        "workers": workers,
        "system": f"{platform.system()} {platform.machine()}",
        "python": platform.python_version(),
        "torch": torch.__version__,
        "img2img": __version__,
    }
