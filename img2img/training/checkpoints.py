"""Checkpoints, written whole or not at all. Weights are safetensors files; the rest of the state lies beside them."""

import hashlib
import json
import os
import shutil
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any, BinaryIO

import safetensors.torch
import torch
from safetensors import SafetensorError
from safetensors.torch import load_file
from torch import Tensor

from img2img.atomic import atomic
from img2img.errors import CheckpointError, PictureError

Weights = dict[str, Tensor]
DIGESTS = "digests.json"
"""File of a checkpoint with the SHA-256 of each of its other files. Checkpoints of version 0.1 have none."""


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
        found = (path.name for path in self.folder.glob("step-*") if path.name.isascii() and path.name[5:].isdigit())
        return sorted(int(name[5:]) for name in found if name == _name(int(name[5:])))

    def best(self) -> tuple[int, float] | None:
        """Return step and figure of the best checkpoint, or None if there is none or it no longer exists.

        Raises:
            CheckpointError: `best.json` is broken.
        """
        path = self.folder / "best.json"
        if not path.exists():
            return None
        try:
            best = json.loads(path.read_text(encoding="utf-8"))
            step, figure = int(best["step"]), float(best["figure"])
        except (ValueError, KeyError, TypeError) as error:
            raise CheckpointError(f"{path}: broken; delete it (the checkpoints are not affected)") from error
        return (step, figure) if step in self.steps() else None

    def save(self, checkpoint: Checkpoint, figure: float | None = None) -> Path:
        """Write `checkpoint`. If `figure` is higher than that of the best one so far, this one becomes the best.

        Raises:
            CheckpointError: it cannot be written. Earlier checkpoints are not affected.
        """
        place = self.folder / _name(checkpoint.step)
        part = self.folder / f".{place.name}.{os.getpid()}.part"
        try:
            part.mkdir(parents=True)
            digests = {}
            for name, weights in checkpoint.weights.items():
                contiguous = {key: value.detach().cpu().contiguous() for key, value in weights.items()}
                file = part / f"{name}.safetensors"
                digests[file.name] = _write(file, partial(_save_weights, contiguous))
            state = {"step": checkpoint.step, **checkpoint.state}
            digests["state.pt"] = _write(part / "state.pt", lambda out: torch.save(state, out))
            _write(part / DIGESTS, lambda out: out.write(json.dumps(digests).encode()))
            if place.exists():
                shutil.rmtree(place)
            part.rename(place)
            best = self.best()
            if figure is not None and (best is None or figure > best[1]):
                self._mark_best(checkpoint.step, figure)
        except (OSError, PictureError) as error:
            reason = error.strerror if isinstance(error, OSError) else error
            raise CheckpointError(f"{place}: cannot be written ({reason}); {self.last_good()}", path=place) from error
        finally:
            shutil.rmtree(part, ignore_errors=True)
        self._prune()
        return place

    def load(self, step: int | None = None) -> Checkpoint:
        """Read the checkpoint of `step`, or the last one.

        Raises:
            CheckpointError: it does not exist, is damaged, or cannot be read.
        """
        steps = self.steps()
        if not steps or (step is not None and step not in steps):
            raise CheckpointError(f"{self.folder}: no checkpoint{'' if step is None else f' of step {step}'} here")
        place = self.folder / _name(steps[-1] if step is None else step)
        verify(place)
        try:
            weights = {path.name.removesuffix(".safetensors"): load_file(path) for path in place.glob("*.safetensors")}
            state = torch.load(place / "state.pt", map_location="cpu", weights_only=True)
        except Exception as error:  # torch and safetensors raise many types for a broken file
            if not isinstance(error, OSError | RuntimeError | SafetensorError | EOFError | KeyError | ValueError):
                raise CheckpointError(
                    f"{place}: unsafe or broken ({type(error).__name__}); not opened", path=place
                ) from error
            raise CheckpointError(f"{place}: cannot be read ({error})", path=place) from error
        if not isinstance(state, dict) or not isinstance(state.get("step"), int):
            raise CheckpointError(f"{place / 'state.pt'}: does not hold the state of a run", path=place)
        return Checkpoint(state.pop("step"), weights, state)

    def load_last_good(self, note: Callable[[str], None]) -> Checkpoint:
        """Read the last checkpoint that is not damaged. Sets damaged ones aside and reports them through `note`.

        A damaged one is renamed to `damaged-step-...`: it would otherwise count as the newest of those to keep.

        Raises:
            CheckpointError: there is no checkpoint, or none can be read. Then nothing is renamed.
        """
        damaged: list[CheckpointError] = []
        steps = self.steps()
        if not steps:
            raise CheckpointError(f"{self.folder}: no checkpoint here", path=self.folder)
        for step in reversed(steps):
            try:
                found = self.load(step)
            except CheckpointError as error:
                damaged.append(error)
                continue
            for fault in damaged:
                place = Path(str(fault.path))
                aside = place.with_name(f"damaged-{place.name}")
                shutil.rmtree(aside, ignore_errors=True)
                place.rename(aside)
                note(f"warning: {fault}; renamed to {aside.name}, going back to the checkpoint of step {found.step}")
            return found
        raise damaged[0]

    def remove_leftovers(self) -> None:
        """Remove what killed processes left half written. No other process may write to this store."""
        for path in self.folder.glob(".step-*.part"):
            shutil.rmtree(path, ignore_errors=True)

    def _mark_best(self, step: int, figure: float) -> None:
        with atomic(self.folder / "best.json") as file:
            file.write(json.dumps({"step": step, "figure": figure}).encode())

    def _prune(self) -> None:
        best = self.best()
        for step in self.steps()[: -self.keep]:
            if best is None or step != best[0]:
                shutil.rmtree(self.folder / _name(step), ignore_errors=True)

    def last_good(self) -> str:
        """Return a clause that says from which step a run can continue."""
        steps = self.steps()
        return f"the last good checkpoint is step {steps[-1]}" if steps else "there is no checkpoint yet"


def verify(place: Path) -> None:
    """Compare the files of the checkpoint folder `place` with their digests, if it has any.

    Raises:
        CheckpointError: a file is missing, or its content has changed since it was written.
    """
    file = place / DIGESTS
    if not file.exists():
        return
    try:
        digests = json.loads(file.read_bytes())
        for name, digest in digests.items():
            with (place / name).open("rb") as stream:
                if hashlib.file_digest(stream, "sha256").hexdigest() != digest:
                    raise CheckpointError(f"{place / name}: damaged (its content has changed)", path=place)
    except OSError as error:
        raise CheckpointError(f"{place}: cannot be read ({error.strerror}: {error.filename})", path=place) from error
    except (ValueError, AttributeError) as error:
        raise CheckpointError(f"{file}: damaged", path=place) from error


class _Writer:
    """A file that keeps the digest of what was written, and the error that stopped it.

    torch replaces the error of a failed write with one of its own, which does not say why.
    """

    def __init__(self, stream: BinaryIO) -> None:
        self.stream = stream
        self.digest = hashlib.sha256()
        self.error: OSError | None = None

    def write(self, data: bytes) -> int:
        try:
            self.digest.update(data)
            return self.stream.write(data)
        except OSError as error:
            self.error = error
            raise

    def flush(self) -> None:
        self.stream.flush()


def _save_weights(weights: Weights, out: BinaryIO) -> None:
    out.write(safetensors.torch.save(weights))


def _write(path: Path, content: Callable[[Any], object]) -> str:
    """Write a file through `content` and sync it. Returns its SHA-256. Raises OSError."""
    with path.open("wb") as stream:
        writer = _Writer(stream)
        try:
            content(writer)
        except Exception:
            if writer.error is not None:
                raise writer.error from None
            raise
        stream.flush()
        os.fsync(stream.fileno())
    return writer.digest.hexdigest()


def _name(step: int) -> str:
    return f"step-{step:08d}"
