"""Small runs for tests of the methods: data made of simple shapes, and what a run leaves."""

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


def shape(seed: int, colour: tuple[int, int, int], size: int = 40, *, outline: bool = False) -> Image.Image:
    """A disc or a box on white, where `seed` puts it; only its outline where asked for."""
    rng = np.random.default_rng(seed)
    side = int(rng.integers(size // 3, size // 2))
    left, top = (int(rng.integers(2, size - side - 2)) for _ in range(2))
    image = Image.new("RGB", (size, size), "white")
    draw = ImageDraw.Draw(image).ellipse if rng.integers(2) else ImageDraw.Draw(image).rectangle
    draw((left, top, left + side, top + side), fill=None if outline else colour, outline="black" if outline else colour)
    return image


def paired(folder: Path, count: int = 12, size: int = 40) -> Path:
    """`A/` outlines and `B/` red shapes, under the same names."""
    for i in range(count):
        for side in "AB":
            (folder / side).mkdir(parents=True, exist_ok=True)
            shape(i, COLOURS["red"], size, outline=side == "A").save(folder / side / f"{i:03}.png")
    return folder


def domains(folder: Path, names: tuple[str, ...] = ("red", "green", "blue"), count: int = 12, size: int = 40) -> Path:
    """A folder of shapes for each colour; the same names show the same shape."""
    for name in names:
        (folder / name).mkdir(parents=True, exist_ok=True)
        for i in range(count):
            shape(i, COLOURS[name], size).save(folder / name / f"s{i:03}.png")
    return folder


def photos(folder: Path, count: int = 6, size: int = 64) -> Path:
    """Smooth coloured noise."""
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
    """All weights of the last checkpoint, `file/key` to tensor."""
    folder = max((run / "checkpoints").glob("step-*"))
    return {f"{path.stem}/{k}": v for path in folder.glob("*.safetensors") for k, v in load_file(path).items()}


class StopAfter(SilentListener):
    """Presses Ctrl-C after a step."""

    def __init__(self, step: int) -> None:
        self.step = step

    def stepped(self, step: int, figures: Mapping[str, float]) -> None:
        if step == self.step:
            signal.raise_signal(signal.SIGINT)


def few(method: type[Method], config: RunConfig, run: Path, steps: int = 2) -> list[dict[str, Any]]:
    """Train for so many steps, without validation and export. Returns the log lines."""
    with pytest.raises(Interrupted):
        train(method, config, run, StopAfter(steps), device="cpu")
    return log(run)


def check_resume(method: type[Method], config: RunConfig, place: Path, stop: int) -> Path:
    """A run that is stopped after `stop` steps and goes on equals one that is not. Returns the undisturbed run.

    No models are written: exports take most of the time, and have tests of their own.
    """
    whole, broken = place / "whole", place / "broken"
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("img2img.exchange.export", lambda *args: None)
        train(method, config, whole, SilentListener(), device="cpu")
        with pytest.raises(Interrupted):
            train(method, config, broken, StopAfter(stop), device="cpu")
        train(method, config, broken, SilentListener(), device="cpu")
    assert log(broken) == log(whole)
    ours, theirs = weights(broken), weights(whole)
    assert ours.keys() == theirs.keys()
    assert all(torch.equal(ours[key], theirs[key]) for key in ours)
    return whole


def learn(method: type[Method], config: RunConfig, run: Path) -> list[dict[str, float]]:
    """Train to the end, without export. Returns the figures of the validations."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("img2img.exchange.export", lambda *args: None)
        train(method, config, run, SilentListener(), device="cpu")
    return [entry["validation"] for entry in log(run) if "validation" in entry]


def exported(method: Method, folder: Path) -> dict[str, ort.InferenceSession]:
    """The models of `method` as it is, suffix to session, exported and checked."""
    folder.mkdir(parents=True, exist_ok=True)
    sessions = {}
    for model in method.models(method.networks):
        exchange.export(model.network, model.card, folder / f"model{model.suffix}.onnx")
        sessions[model.suffix] = ort.InferenceSession(
            folder / f"model{model.suffix}.onnx", providers=["CPUExecutionProvider"]
        )
    return sessions
