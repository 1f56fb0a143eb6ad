"""The programs in examples/shell, examples/node and examples/docker do what they say."""

import json
import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import pytest
from conftest import ROOT, files
from onnx_nets import compact
from PIL import Image

EXAMPLES = ROOT / "examples"
Run = Callable[..., "subprocess.CompletedProcess[str]"]

pytestmark = pytest.mark.skipif(os.name != "posix", reason="these examples are for a POSIX shell")


def needs(program: str) -> pytest.MarkDecorator:
    return pytest.mark.skipif(shutil.which(program) is None, reason=f"{program} is not installed")


@pytest.fixture
def photos(here: Path) -> Path:
    """The folder `photos/`: two pictures of the same name, in different folders."""
    for number, name in enumerate(("a", "b")):
        (here / "photos" / name).mkdir(parents=True)
        Image.new("RGB", (12, 10), (80 * number, 90, 200)).save(here / "photos" / name / "one.jpg", quality=95)
    return here / "photos"


@pytest.fixture
def model(here: Path) -> Path:
    return compact(here / "tiny.onnx")


@pytest.fixture
def environment(here: Path) -> dict[str, str]:
    """The environment of the programs, whose IMG2IMG is this checkout."""
    program = here / "img2img"
    program.write_text(f'#!/bin/sh\nexec "{sys.executable}" -m img2img "$@"\n')
    program.chmod(0o755)
    return {**os.environ, "PYTHONPATH": str(ROOT), "IMG2IMG": str(program)}


@pytest.fixture
def sh(environment: dict[str, str]) -> Run:
    """Run a program of examples/shell."""

    def run(name: str, *words: object, **variables: str) -> "subprocess.CompletedProcess[str]":
        command = ["sh", str(EXAMPLES / "shell" / name), *map(str, words)]
        told = {**environment, **variables}
        return subprocess.run(command, capture_output=True, text=True, env=told, timeout=120, check=False)

    return run


@pytest.mark.parametrize("name", sorted(path.name for path in (EXAMPLES / "shell").glob("*.sh")))
def test_a_call_without_folders_shows_the_usage(sh: Run, name: str) -> None:
    done = sh(name)
    assert (
        done.returncode == 2 and name in done.stderr and "PHOTOS RESULTS" in done.stderr.replace("INCOMING", "PHOTOS")
    )


def test_find_and_xargs_keep_the_folders_and_skip_what_is_done(sh: Run, photos: Path, model: Path, here: Path) -> None:
    first = sh("find_xargs.sh", photos, "large", "--model", model)
    written = {path: path.stat().st_mtime_ns for path in (here / "large").rglob("*.jpg")}
    again = sh("find_xargs.sh", photos, "large", "--model", model)

    assert (first.returncode, again.returncode) == (0, 0), first.stderr + again.stderr
    assert files(here / "large") == ["a/one.jpg", "b/one.jpg"]
    assert {path: path.stat().st_mtime_ns for path in written} == written


def test_find_and_xargs_fail_if_a_photo_fails(sh: Run, photos: Path, model: Path) -> None:
    (photos / "a" / "broken.jpg").write_bytes(b"no picture")
    done = sh("find_xargs.sh", photos, "large", "--model", model)
    assert done.returncode == 123 and "broken.jpg" in done.stderr


@needs("parallel")
def test_parallel_shares_a_folder_between_processes(sh: Run, photos: Path, model: Path, here: Path) -> None:
    done = sh("parallel.sh", photos, "large", "--model", model)
    assert done.returncode == 0, done.stderr
    assert files(here / "large") == ["a/one.jpg", "b/one.jpg"]


def test_the_tasks_of_a_job_array_do_everything_once(sh: Run, photos: Path, model: Path, here: Path) -> None:
    task = {"SLURM_ARRAY_TASK_COUNT": "2", "SLURM_CPUS_PER_TASK": "1"}
    done = [sh("job_array.sh", photos, "large", "-m", model, SLURM_ARRAY_TASK_ID=str(one), **task) for one in (1, 2)]
    assert [one.returncode for one in done] == [0, 0], done
    assert files(here / "large") == ["a/one.jpg", "b/one.jpg"]


def test_a_watched_folder_is_worked_off_until_the_signal(
    environment: dict[str, str], photos: Path, model: Path, here: Path
) -> None:
    command = ["sh", str(EXAMPLES / "shell" / "watch_folder.sh"), str(photos), "large", "--model", str(model)]
    with subprocess.Popen(command, env={**environment, "SECONDS_BETWEEN": "0.2"}) as program:
        try:
            wait_for(here / "large" / "b" / "one.jpg")
            Image.new("RGB", (12, 10), "red").save(photos / "late.png")
            wait_for(here / "large" / "late.png")
        finally:
            program.send_signal(signal.SIGTERM)
        assert program.wait(60) == 0


def wait_for(path: Path) -> None:
    end = time.monotonic() + 120
    while not path.exists():
        assert time.monotonic() < end, f"{path} did not appear"
        time.sleep(0.05)


@needs("node")
def test_node_reads_the_card_of_a_model_file(model: Path, here: Path) -> None:
    code = f'import {{ readCard }} from "{EXAMPLES / "node" / "card.mjs"}";'
    code += "for (const path of process.argv.slice(1)) console.log(JSON.stringify(await readCard(path)));"
    paths = [model, ROOT / "weights" / "upscale-x4.onnx"]
    command = ["node", "--input-type=module", "--eval", code, "--", *map(str, paths)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)
    assert done.returncode == 0, done.stderr
    tiny, bundled = map(json.loads, done.stdout.splitlines())
    assert tiny["task"] == "upscale" and bundled["name"] == "upscale-x4" and bundled["licence"] == "Apache-2.0"


@needs("node")
def test_node_refuses_a_file_without_a_card(here: Path) -> None:
    (here / "odd.onnx").write_bytes(bytes([10, 200, 1]))
    code = f'import {{ readCard }} from "{EXAMPLES / "node" / "card.mjs"}"; await readCard("odd.onnx");'
    done = subprocess.run(
        ["node", "--input-type=module", "--eval", code], capture_output=True, text=True, timeout=60, check=False
    )
    assert done.returncode == 1 and "the file is truncated" in done.stderr


@needs("node")
@pytest.mark.skipif(
    not (EXAMPLES / "node" / "node_modules" / "onnxruntime-node").is_dir(), reason="npm install has not run there"
)
def test_node_makes_the_same_picture(model: Path, photos: Path, here: Path) -> None:
    command = ["node", str(EXAMPLES / "node" / "run.mjs"), str(model), str(photos / "b" / "one.jpg"), "node.png"]
    done = subprocess.run(command, capture_output=True, text=True, timeout=120, check=False)
    assert done.returncode == 0, done.stderr
    import img2img

    ours = img2img.load(model).run(photos / "b" / "one.jpg")
    with Image.open("node.png") as theirs:
        assert theirs.size == ours.size
        assert max(abs(a - b) for a, b in zip(theirs.convert("RGB").tobytes(), ours.tobytes(), strict=True)) <= 2


@needs("hadolint")
def test_the_dockerfile_is_clean() -> None:
    done = subprocess.run(["hadolint", str(EXAMPLES / "docker" / "Dockerfile")], capture_output=True, text=True)
    assert done.returncode == 0, done.stdout
