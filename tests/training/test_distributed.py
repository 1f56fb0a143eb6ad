import json
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from safetensors.torch import load_file


def test_two_processes_learn_what_one_learns(tmp_path: Path) -> None:
    photos = tmp_path / "photos"
    photos.mkdir()
    rng = np.random.default_rng(0)
    for i in range(3):
        Image.fromarray(rng.integers(0, 256, (40, 44, 3), dtype=np.uint8)).save(photos / f"{i}.png")
    settings = ["batch=4", "data.crop=16", "generator.options.features=8", "generator.options.convs=1", "log_every=2"]
    args = [
        "-m",
        "img2img",
        "train",
        "esrgan",
        "--data",
        str(photos),
        "--device",
        "cpu",
        "--scale",
        "2",
        "--steps",
        "4",
    ]
    for setting in settings:
        args += ["--set", setting]
    one, two = tmp_path / "one", tmp_path / "two"
    launcher = ["-m", "torch.distributed.run", "--nproc_per_node", "2"]
    for out, command in ((one, [sys.executable]), (two, [sys.executable, *launcher])):
        done = subprocess.run([*command, *args, "--out", str(out)], capture_output=True, text=True, check=False)
        assert done.returncode == 0, done.stderr
    assert done.stderr.count("photos to train on") == 1
    a, b = (load_file(run / "checkpoints" / "step-00000004" / "generator.ema.safetensors") for run in (one, two))
    assert all((a[key] - b[key]).abs().max() < 1e-5 for key in a)
    logs = [[json.loads(line) for line in (run / "log.jsonl").read_text().splitlines()] for run in (one, two)]
    losses = [[entry["loss"] for entry in log if "loss" in entry] for log in logs]
    assert losses[0] == pytest.approx(losses[1], abs=1e-5)
