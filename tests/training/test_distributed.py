"""Several processes learn what one process learns from the same batch, also with the two optimisers of a GAN."""

import subprocess
import sys
from pathlib import Path

import pytest
import trials


def run(out: Path, args: list[str], launcher: list[str]) -> str:
    command = [sys.executable, *launcher, "-m", "img2img", "train", *args, "--out", str(out), "--device", "cpu"]
    done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=250)
    assert done.returncode == 0, done.stderr
    return done.stderr


def settings(*words: str) -> list[str]:
    return [part for word in words for part in ("--set", word)]


def compare(one: Path, two: Path) -> None:
    a, b = trials.weights(one), trials.weights(two)
    assert a.keys() == b.keys()
    # Adam amplifies the rounding of gradients near 0, so single weights may differ more than the mean.
    assert all((a[key].float() - b[key].float()).abs().mean() < 1e-5 for key in a)
    losses = [[entry["loss"] for entry in trials.log(place) if "loss" in entry] for place in (one, two)]
    assert losses[0] == pytest.approx(losses[1], rel=1e-4)


def test_two_processes_learn_what_one_learns(tmp_path: Path) -> None:
    photos = trials.photos(tmp_path / "photos", 3, 44)
    args = ["esrgan", "--data", str(photos), "--scale", "2", "--steps", "4"]
    args += settings("batch=4", "data.crop=16", "generator.options.features=8", "generator.options.convs=1")
    args += settings("log_every=2")
    run(tmp_path / "one", args, [])
    output = run(tmp_path / "two", args, ["-m", "torch.distributed.run", "--nproc_per_node", "2"])
    assert output.count("training photos") == 1
    compare(tmp_path / "one", tmp_path / "two")


def test_two_processes_train_a_gan_like_one_and_continue(tmp_path: Path) -> None:
    pairs = trials.paired(tmp_path / "pairs", 8)
    args = ["pix2pix", "--data", str(pairs), "--steps", "6"]
    args += settings("batch=4", "data.load=36", "data.crop=32", "log_every=2", "validate_every=6", "checkpoint_every=3")
    args += settings("generator.options={features=4, downs=3, norm='instance', dropout=false}")
    args += settings("discriminator.options={features=4, layers=1, norm='instance'}", "matching.weight=1")
    launcher = ["-m", "accelerate.commands.launch", "--cpu", "--num_processes", "2", "--mixed_precision", "no"]
    run(tmp_path / "one", args, [])
    run(tmp_path / "two", args, launcher)
    compare(tmp_path / "one", tmp_path / "two")
    assert "this run is finished: all 6 steps are done" in run(tmp_path / "two", args, launcher)
