"""Checkpoints, written whole or not at all. Weights are safetensors files; the rest of the state lies beside them."""

import json
import os
import shutil
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file, save_file
from torch import Tensor

from img2img.errors import CheckpointError

Weights = dict[str, Tensor]


@dataclass
class Checkpoint:
    """Everything that a run needs to continue.

    Attributes:
        step: number of completed steps.
        weights: file name without suffix (`generator`, `generator.ema`) to state dict.
        state: optimisers, random number generators and so on, as tensors and plain values only.
    """

    step: int
    weights: dict[str, Weights]
    state: dict[str, Any]


class Store:
    """The checkpoints of one run in `folder`: `step-00000500/` and so on, and `best.json`, which names the best one.

    The last `keep` checkpoints and the best one are kept. A checkpoint is written under a temporary name and then
    renamed, so a killed process or a full disk never costs the last good one.
    """

    def __init__(self, folder: Path, keep: int) -> None:
        self.folder = folder
        self.keep = keep

    def steps(self) -> list[int]:
        """Return the steps of the existing checkpoints, in ascending order."""
        return sorted(int(path.name[5:]) for path in self.folder.glob("step-*") if path.name[5:].isdigit())

    def best(self) -> tuple[int, float] | None:
        """Return step and figure of the best checkpoint, or None.

        Raises:
            CheckpointError: `best.json` is broken.
        """
        path = self.folder / "best.json"
        if not path.exists():
            return None
        try:
            best = json.loads(path.read_text(encoding="utf-8"))
            return int(best["step"]), float(best["figure"])
        except (ValueError, KeyError, TypeError) as error:
            raise CheckpointError(f"{path}: broken; delete it (the checkpoints are not affected)") from error

    def save(self, checkpoint: Checkpoint, figure: float | None = None) -> Path:
        """Write `checkpoint`. If `figure` is higher than that of the best one so far, this one becomes the best.

        Raises:
            CheckpointError: it cannot be written. Earlier checkpoints are not affected.
        """
        place = self.folder / f"step-{checkpoint.step:08d}"
        part = self.folder / f".{place.name}.{os.getpid()}.part"
        try:
            part.mkdir(parents=True)
            for name, weights in checkpoint.weights.items():
                contiguous = {key: value.detach().cpu().contiguous() for key, value in weights.items()}
                save_file(contiguous, part / f"{name}.safetensors")
            torch.save({"step": checkpoint.step, **checkpoint.state}, part / "state.pt")
            if place.exists():
                shutil.rmtree(place)
            part.rename(place)
            best = self.best()
            if figure is not None and (best is None or figure > best[1]):
                self._mark_best(checkpoint.step, figure)
        except OSError as error:
            raise CheckpointError(f"{place}: cannot be written ({error.strerror}); {self.last_good()}") from error
        except RuntimeError as error:  # torch.save reports a full disk this way
            raise CheckpointError(f"{place}: cannot be written ({error}); {self.last_good()}") from error
        finally:
            shutil.rmtree(part, ignore_errors=True)
        self._prune()
        return place

    def load(self, step: int | None = None) -> Checkpoint:
        """Read the checkpoint of `step`, or the last one.

        Raises:
            CheckpointError: it does not exist or cannot be read.
        """
        steps = self.steps()
        if not steps or (step is not None and step not in steps):
            raise CheckpointError(f"{self.folder}: no checkpoint{'' if step is None else f' of step {step}'} here")
        place = self.folder / f"step-{steps[-1] if step is None else step:08d}"
        try:
            weights = {path.name.removesuffix(".safetensors"): load_file(path) for path in place.glob("*.safetensors")}
            state = torch.load(place / "state.pt", map_location="cpu", weights_only=True)
        except Exception as error:  # torch and safetensors raise many types for a broken file
            if not isinstance(error, OSError | RuntimeError | SafetensorError | EOFError | KeyError | ValueError):
                raise CheckpointError(f"{place}: unsafe or broken ({type(error).__name__}); not opened") from error
            raise CheckpointError(
                f"{place}: cannot be read ({error}); delete it to continue from the one before"
            ) from error
        return Checkpoint(state.pop("step"), weights, state)

    def _mark_best(self, step: int, figure: float) -> None:
        part = self.folder / ".best.part"
        part.write_text(json.dumps({"step": step, "figure": figure}), encoding="utf-8")
        part.replace(self.folder / "best.json")

    def _prune(self) -> None:
        best = self.best()
        for step in self.steps()[: -self.keep]:
            if best is None or step != best[0]:
                shutil.rmtree(self.folder / f"step-{step:08d}", ignore_errors=True)

    def last_good(self) -> str:
        """Return a clause that says from which step a run can continue."""
        steps = self.steps()
        return f"the last good checkpoint is step {steps[-1]}" if steps else "there is no checkpoint yet"
