"""Checkpoints, written whole or not at all. Weights are safetensors files; the rest of the state lies beside them."""

import io
import json
import os
import shutil
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from hashlib import sha256
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file, save
from torch import Tensor

from img2img.atomic import atomic
from img2img.errors import CheckpointError, PictureError

Weights = dict[str, Tensor]

DIGESTS = "digests.json"


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
    renamed, so a killed process or a full disk never costs the last good one. Its `digests.json` has the SHA-256 of
    each of its files, so damage is noticed.
    """

    def __init__(self, folder: Path, keep: int) -> None:
        self.folder = folder
        self.keep = keep

    def steps(self) -> list[int]:
        """Return the steps of the existing checkpoints, in ascending order."""
        numbers = (path.name[5:] for path in self.folder.glob("step-*"))
        return sorted(int(number) for number in numbers if number.isascii() and number.isdecimal())

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
            digests = {}
            for name, content in _files(checkpoint):
                _write(part / name, content)
                digests[name] = sha256(content).hexdigest()
            _write(part / DIGESTS, json.dumps(digests).encode())
            if place.exists():
                shutil.rmtree(place)
            part.rename(place)
            best = self.best()
            if figure is not None and (best is None or figure > best[1]):
                self._mark_best(checkpoint.step, figure)
        except (OSError, PictureError) as error:
            why = error.strerror if isinstance(error, OSError) else error
            raise CheckpointError(f"{place}: cannot be written: {why}; {self.last_good()}") from error
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
        _check_digests(place)
        try:
            weights = {path.name.removesuffix(".safetensors"): load_file(path) for path in place.glob("*.safetensors")}
            state = torch.load(place / "state.pt", map_location="cpu", weights_only=True)
            return Checkpoint(state.pop("step"), weights, state)
        except Exception as error:  # torch and safetensors raise many types for a broken file
            if isinstance(error, OSError | RuntimeError | SafetensorError | EOFError | KeyError | ValueError):
                raise CheckpointError(f"{place}: cannot be read ({error})") from error
            raise CheckpointError(f"{place}: unsafe or broken ({type(error).__name__}); not opened") from error

    def load_newest(self, note: Callable[[str], None]) -> Checkpoint:
        """Read the newest checkpoint that is intact. Damaged ones are renamed, and `note` gets a line for each.

        Raises:
            CheckpointError: there is none.
        """
        while True:
            newest = max(self.steps(), default=None)
            try:
                return self.load(newest)
            except CheckpointError as error:
                if len(self.steps()) == 1:
                    raise CheckpointError(f"{error}; there is no other: start again with another --out") from error
                if newest is None:
                    raise
                place = self.folder / f"step-{newest:08d}"
                place.rename(place.with_name(f"{place.name}.damaged"))
                note(f"warning: {error}; renamed to {place.name}.damaged; {self.last_good()}")

    def remove_leftovers(self) -> None:
        """Remove unfinished checkpoints of killed processes. Only for the process that holds the run's lock."""
        for part in self.folder.glob(".step-*.part"):
            shutil.rmtree(part, ignore_errors=True)

    def _mark_best(self, step: int, figure: float) -> None:
        with atomic(self.folder / "best.json") as file:
            file.write(json.dumps({"step": step, "figure": figure}).encode())

    def _prune(self) -> None:
        best = self.best()
        for step in self.steps()[: -self.keep]:
            if best is None or step != best[0]:
                shutil.rmtree(self.folder / f"step-{step:08d}", ignore_errors=True)

    def last_good(self) -> str:
        """Return a clause that says from which step a run can continue."""
        steps = self.steps()
        return f"the last good checkpoint is step {steps[-1]}" if steps else "there is no checkpoint yet"


def _files(checkpoint: Checkpoint) -> Iterator[tuple[str, bytes]]:
    """Name and content of each file. Encoded in memory: safetensors and torch report a full disk in their own words."""
    for name, weights in checkpoint.weights.items():
        contiguous = {key: value.detach().cpu().contiguous() for key, value in weights.items()}
        yield f"{name}.safetensors", save(contiguous)
    state = io.BytesIO()
    torch.save({"step": checkpoint.step, **checkpoint.state}, state)
    yield "state.pt", state.getvalue()


def _write(path: Path, content: bytes) -> None:
    with path.open("wb") as file:
        file.write(content)
        file.flush()
        os.fsync(file.fileno())


def _check_digests(place: Path) -> None:
    """Raise CheckpointError if a file differs from its digest. Checkpoints of version 0.1.0 have no digests."""
    path = place / DIGESTS
    if not path.exists():
        return
    try:
        for name, digest in json.loads(path.read_text(encoding="utf-8")).items():
            if sha256((place / name).read_bytes()).hexdigest() != digest:
                raise CheckpointError(f"{place}: {name} is damaged: it is not what was written")
    except (OSError, ValueError, AttributeError, TypeError) as error:
        raise CheckpointError(f"{place}: cannot be read ({error})") from error
