"""Run folders for tests of reports, written without a training."""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from PIL import Image

SCHEMA = {
    "required": ["data"],
    "properties": {
        "method": {"default": "pix2pix"},
        "steps": {"default": 100, "description": "training steps"},
        "batch": {"default": 1, "description": "pairs per step"},
        "optimiser": {"properties": {"rate": {"default": 2e-4, "description": "peak learning rate"}}},
        "generator": {"properties": {"options": {"default": {"features": 64, "norm": "batch"}}}},
        "data": {
            "required": ["folders"],
            "properties": {"folders": {}, "crop": {"default": 256, "description": "crop"}},
        },
    },
}

CONFIG = """
method = "pix2pix"
steps = {steps}
batch = 4
[optimiser]
rate = 0.0002
[generator.options]
features = 8
norm = "batch"
[data]
folders = ["{folder}"]
crop = 256
"""


def write_run(
    folder: Path, *, steps: int = 100, logged: int = 100, every: int = 10, sheets: int = 3, scale: float = 1.0
) -> Path:
    """Write a run of `steps` steps, of which `logged` are in the log. Losses are `scale` times as high."""
    (folder / "samples").mkdir(parents=True)
    (folder / "config.toml").write_text(CONFIG.format(steps=steps, folder="street"))
    (folder / "config.schema.json").write_text(json.dumps(SCHEMA))
    (folder / "pictures.json").write_text(json.dumps({"folders/0/A/1.png": 1000, "folders/0/B/1.png": 2000}))
    for step in range(every, logged + 1, every):
        add_line(folder, {"step": step, "loss": scale * 10 / step, "l1": scale * 1 / step, "rate": 2e-4})
    for number in range(1, sheets + 1):
        step = number * logged // sheets
        add_line(folder, {"step": step, "validation": {"psnr": 20.0 + number, "closeness": -1.0 / number}})
        Image.new("RGB", (60, 40), (80 * number, 0, 0)).save(folder / "samples" / f"step-{step:08}.png")
    if sheets:
        best = folder / "checkpoints" / f"step-{logged:08}"
        best.mkdir(parents=True)
        (folder / "checkpoints" / "best.json").write_text(json.dumps({"step": logged, "figure": -1.0 / sheets}))
    session = {"device": "cpu", "device_name": "a processor", "threads": 2}
    lines = [{"step": 0, "session": session}, {"step": logged, "steps": logged, "seconds": 50.0, "waiting": 10.0}]
    (folder / "speed.jsonl").write_text("".join(json.dumps(line) + "\n" for line in lines))
    return folder


def add_line(folder: Path, entry: Mapping[str, Any]) -> None:
    """Append a line to the log."""
    with (folder / "log.jsonl").open("a") as file:
        file.write(json.dumps(entry) + "\n")
