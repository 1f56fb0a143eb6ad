"""Small training runs for tests: data made of simple shapes, and the results of a run."""

import json
import signal
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import onnxruntime as ort
import pytest
import torch
from PIL import Image, ImageDraw
from safetensors.torch import load_file

from img2img import exchange
from img2img.errors import Interrupted
from img2img.methods.config import RunConfig
from img2img.methods.method import Method
from img2img.training.listener import SilentListener
from img2img.training.loop import train

COLOURS = {"red": (220, 40, 40), "green": (40, 200, 60), "blue": (50, 60, 220)}

ENOUGH_TO_LEARN_A_COLOUR: dict[str, Any] = {
    "steps": 150,
    "batch": 2,
    "validate_every": 150,
    "log_every": 50,
    "generator": {"name": "resnet", "options": {"features": 8, "blocks": 1}},
    "discriminator": {"name": "patchgan", "options": {"features": 8, "layers": 1, "norm": "none"}},
    "optimiser": {"rate": 2e-3, "betas": [0.5, 0.999]},
}
"""Settings with which methods for two domains without pairs learn the colour of the other side."""
COLOURS |= {"A": COLOURS["red"], "B": COLOURS["blue"]}


def shape(seed: int, colour: tuple[int, int, int], size: int = 40, *, outline: bool = False) -> Image.Image:
    """Draw a disc or a box on white, at a place that depends on `seed`. `outline`: only its outline."""
    rng = np.random.default_rng(seed)
    side = int(rng.integers(size // 3, size // 2))
    left, top = (int(rng.integers(2, size - side - 2)) for _ in range(2))
    image = Image.new("RGB", (size, size), "white")
    draw = ImageDraw.Draw(image).ellipse if rng.integers(2) else ImageDraw.Draw(image).rectangle
    draw((left, top, left + side, top + side), fill=None if outline else colour, outline="black" if outline else colour)
    return image


def paired(folder: Path, count: int = 12, size: int = 40) -> Path:
    """Write outlines to `A/` and red shapes to `B/`, with the same names."""
    for i in range(count):
        for side in "AB":
            (folder / side).mkdir(parents=True, exist_ok=True)
            shape(i, COLOURS["red"], size, outline=side == "A").save(folder / side / f"{i:03}.png")
    return folder


def domains(folder: Path, names: tuple[str, ...] = ("red", "green", "blue"), count: int = 12, size: int = 40) -> Path:
    """Write a folder of shapes for each colour. Files of the same name show the same shape."""
    for name in names:
        (folder / name).mkdir(parents=True, exist_ok=True)
        for i in range(count):
            shape(i, COLOURS[name], size).save(folder / name / f"s{i:03}.png")
    return folder


def photos(folder: Path, count: int = 6, size: int = 64) -> Path:
    """Write photos of smooth coloured noise."""
    folder.mkdir(parents=True, exist_ok=True)
    rng = np.random.default_rng(0)
    for i in range(count):
        coarse = Image.fromarray(rng.integers(0, 256, (6, 6, 3), dtype=np.uint8))
        coarse.resize((size, size), Image.Resampling.BICUBIC).save(folder / f"{i}.png")
    return folder


def log(run: Path) -> list[dict[str, Any]]:
    file = run / "log.jsonl"
    return [json.loads(line) for line in file.read_text().splitlines()] if file.exists() else []


def weights(run: Path) -> dict[str, torch.Tensor]:
    """Return all weights of the last checkpoint, `file/key` to tensor."""
    folder = max((run / "checkpoints").glob("step-*"))
    return {f"{path.stem}/{k}": v for path in folder.glob("*.safetensors") for k, v in load_file(path).items()}


class StopAfter(SilentListener):
    """Sends Ctrl-C after a step."""

    def __init__(self, step: int) -> None:
        self.step = step

    def stepped(self, step: int, figures: Mapping[str, float]) -> None:
        if step == self.step:
            signal.raise_signal(signal.SIGINT)


def train_steps(method: type[Method], config: RunConfig, run: Path, steps: int = 2) -> list[dict[str, Any]]:
    """Train for `steps` steps, without validation and export. Return the log lines."""
    with pytest.raises(Interrupted):
        train(method, config, run, StopAfter(steps), device="cpu")
    return log(run)


def check_resume(method: type[Method], config: RunConfig, place: Path, stop: int) -> Path:
    """Check that a run that stops after `stop` steps and continues equals one that does not stop. Return the latter.

    No models are written: exports take most of the time and have their own tests.
    """
    whole, broken = place / "whole", place / "broken"
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("img2img.exchange.export", lambda *args, **named: None)
        train(method, config, whole, SilentListener(), device="cpu")
        with pytest.raises(Interrupted):
            train(method, config, broken, StopAfter(stop), device="cpu")
        train(method, config, broken, SilentListener(), device="cpu")
    assert log(broken) == log(whole)
    ours, theirs = weights(broken), weights(whole)
    assert ours.keys() == theirs.keys()
    assert all(torch.equal(ours[key], theirs[key]) for key in ours)
    return whole


def train_to_end(method: type[Method], config: RunConfig, run: Path) -> list[dict[str, float]]:
    """Train to the end, without export. Return the figures of the validations."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("img2img.exchange.export", lambda *args, **named: None)
        train(method, config, run, SilentListener(), device="cpu")
    return [entry["validation"] for entry in log(run) if "validation" in entry]


def suffixes(method: Method) -> list[str]:
    """Return the suffixes of the models of `method`, such as ".AtoB"."""
    return [model.suffix for model in method.models(method.networks)]


def export(method: Method, folder: Path, *only: str) -> dict[str, ort.InferenceSession]:
    """Export and check the models of `method`, or those with the suffixes `only`. Return suffix to session."""
    folder.mkdir(parents=True, exist_ok=True)
    sessions = {}
    for model in method.models(method.networks):
        if only and model.suffix not in only:
            continue
        exchange.export(model.network, model.card, folder / f"model{model.suffix}.onnx")
        sessions[model.suffix] = ort.InferenceSession(
            folder / f"model{model.suffix}.onnx", providers=["CPUExecutionProvider"]
        )
    return sessions
