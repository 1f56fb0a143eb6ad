"""A run folder has one trainer at a time, and neither a kill nor a full disk costs what is in it."""

import json
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
import trials
from conftest import environment

from img2img.training.checkpoints import Store, verify

TINY = (
    "data.load=64 data.crop=64 generator.options.features=8 generator.options.downs=4 discriminator.options.features=8 "
    "checkpoint_every=1 log_every=1 validate_every=100000 keep=2"
)
NO_SPACE = "No space left on device"


def arguments(data: Path, run: Path, steps: int) -> list[str]:
    settings = [word for one in TINY.split() for word in ("--set", one)]
    words = ["train", "pix2pix", "--data", data, "--out", run, "--steps", steps, "--threads", 1, "--device", "cpu"]
    return [sys.executable, "-m", "img2img", *map(str, words), *settings]


def train(data: Path, run: Path, steps: int) -> "subprocess.CompletedProcess[str]":
    return subprocess.run(
        arguments(data, run, steps), capture_output=True, text=True, env=environment(), timeout=150, check=False
    )


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return trials.paired(tmp_path_factory.mktemp("data"), size=64)


@pytest.fixture
def trainer(data: Path, tmp_path: Path) -> "Iterator[subprocess.Popen[bytes]]":
    """A long training in `run`, which has written its first checkpoint."""
    process = subprocess.Popen(arguments(data, tmp_path / "run", 100_000), stderr=subprocess.DEVNULL, env=environment())
    store, deadline = Store(tmp_path / "run" / "checkpoints", keep=1), time.monotonic() + 120
    try:
        while not store.steps():
            assert process.poll() is None and time.monotonic() < deadline
            time.sleep(0.1)
        yield process
    finally:
        process.kill()
        process.wait()


def test_a_second_trainer_says_who_holds_the_folder_and_a_kill_releases_it(
    trainer: "subprocess.Popen[bytes]", data: Path, tmp_path: Path
) -> None:
    run = tmp_path / "run"
    second = train(data, run, 100_000)
    assert second.returncode == 2
    holder = json.loads((run / ".trainer.json").read_text())
    assert holder["pid"] == trainer.pid
    assert f"process {trainer.pid} on {holder['host']}, since {holder['since']}" in second.stderr
    assert "Traceback" not in second.stderr

    trainer.kill()
    trainer.wait()
    half = run / "checkpoints" / ".step-99999999.4711.part"
    half.mkdir()
    torn = run / ".config.toml.4711.0123abcd.part"
    torn.write_bytes(b"half")
    done = Store(run / "checkpoints", keep=1).steps()[-1]
    third = train(data, run, done + 1)
    assert third.returncode == 0, third.stderr
    assert Store(run / "checkpoints", keep=1).steps()[-1] == done + 1
    assert not half.exists() and not torn.exists() and not (run / ".trainer.json").exists()


def check_full(outcome: "subprocess.CompletedProcess[str]", run: Path, reason: str) -> None:
    """Check that a run failed in plain words and that its checkpoints, if any, are whole."""
    assert outcome.returncode == 1, outcome.stderr
    assert reason in outcome.stderr and "bug" not in outcome.stderr and "Traceback" not in outcome.stderr
    store = Store(run / "checkpoints", keep=1)
    for step in store.steps():
        verify(run / "checkpoints" / f"step-{step:08d}")
    expected = f"the last good checkpoint is step {store.steps()[-1]}" if store.steps() else "no checkpoint yet"
    assert expected in outcome.stderr
    assert not list(run.rglob("*.part"))


@pytest.mark.parametrize("size", ["1300k", "1800k", "4000k"])
def test_a_full_disk_is_named_and_keeps_the_last_good_checkpoint(
    size: str, data: Path, small_disk: Callable[[str], Path]
) -> None:
    disk = small_disk(size)
    check_full(train(data, disk / "run", 6), disk / "run", NO_SPACE)


@pytest.mark.skipif(sys.platform == "win32", reason="Windows has no limit on the size of files")
def test_a_limit_on_file_sizes_is_named_and_keeps_the_last_good_checkpoint(data: Path, tmp_path: Path) -> None:
    import resource

    first = train(data, tmp_path / "run", 1)
    assert first.returncode == 0, first.stderr
    largest = max(path.stat().st_size for path in (tmp_path / "run" / "checkpoints").rglob("*.safetensors"))
    limited = subprocess.run(
        arguments(data, tmp_path / "run", 3),
        capture_output=True,
        text=True,
        env=environment(),
        timeout=150,
        check=False,
        preexec_fn=lambda: resource.setrlimit(resource.RLIMIT_FSIZE, (largest // 2, largest // 2)),
    )
    check_full(limited, tmp_path / "run", "File too large")
    assert Store(tmp_path / "run" / "checkpoints", keep=1).steps() == [1]
