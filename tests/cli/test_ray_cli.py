"""`--engine ray` as a person meets it: a cluster of its own, quiet, and gone at the end."""

import importlib.util
import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

import pytest
from conftest import Outcome, environment

Run = Callable[..., Outcome]
Photo = Callable[..., Path]

needs_ray = pytest.mark.skipif(importlib.util.find_spec("ray") is None, reason="needs Ray: pip install 'img2img[ray]'")
pytestmark = pytest.mark.usefixtures("models", "here")


def files(folder: Path) -> list[str]:
    return sorted(path.relative_to(folder).as_posix() for path in folder.rglob("*") if path.is_file())


def start(*words: object) -> "subprocess.Popen[bytes]":
    """The command in a group of processes of its own, as a shell starts it."""
    command = [sys.executable, "-m", "img2img", *map(str, words)]
    env = {name: value for name, value in environment().items() if not name.startswith("RAY_")}
    return subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, env=env, start_new_session=True)


def ray_processes(session: int) -> list[str]:
    """What Ray has started on behalf of the process that began this session, and still runs."""
    psutil = pytest.importorskip("psutil")
    found = []
    for one in psutil.process_iter():
        with suppress(psutil.Error, ProcessLookupError):
            if os.getsid(one.pid) == session and one.status() != psutil.STATUS_ZOMBIE and one.pid != session:
                found.append(" ".join(one.cmdline())[:80])
    return found


def wait_until_none(session: int) -> list[str]:
    deadline = time.monotonic() + 20
    while ray_processes(session) and time.monotonic() < deadline:
        time.sleep(0.1)
    return ray_processes(session)


@needs_ray
def test_stdout_is_events_and_stderr_what_failed(photo: Photo, here: Path) -> None:
    for number in range(3):
        photo(here / "photos" / f"{number}.png", (12, 8), seed=number)
    (here / "photos" / "bad.png").write_bytes(b"no picture")
    running = start("upscale", "photos", "--engine", "ray", "--threads", "1", "--json")
    out, err = running.communicate(timeout=200)
    records = [json.loads(line) for line in out.splitlines()]
    assert running.returncode == 1
    assert [record["status"] for record in records].count("done") == 3
    assert records[-1] | {"seconds": 0} == {
        "status": "summary",
        "done": 3,
        "skipped": 0,
        "failed": 1,
        "warnings": 0,
        "notes": [],
        "seconds": 0,
        "exit_status": 1,
    }
    (line,) = err.decode().splitlines()
    assert line.startswith("error: cannot read photos/bad.png:")
    assert files(here / "photos_x4") == [".img2img.jsonl", ".img2img.lock", "0.png", "1.png", "2.png"]
    assert not wait_until_none(running.pid)


@needs_ray
@pytest.mark.skipif(sys.platform == "win32", reason="needs the signals of POSIX")
@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM], ids=["Ctrl-C", "SIGTERM"])
def test_an_interrupted_batch_ends_its_workers_and_leaves_whole_files(
    photo: Photo, here: Path, number: signal.Signals
) -> None:
    count = 60  # more than two workers do while a busy machine hands on a signal
    for index in range(count):
        photo(here / "photos" / f"{index}.png", (200, 160), seed=index)
    running = start("upscale", "photos", "-m", "slow", "--engine", "ray", "--threads", "1", "--json")
    assert running.stdout is not None and b'"done"' in running.stdout.readline()
    assert ray_processes(running.pid)
    if number is signal.SIGINT:
        os.killpg(running.pid, number)  # as a terminal does
    else:
        running.send_signal(number)
    _, err = running.communicate(timeout=200)
    assert (running.returncode, err.decode()) == (130, "interrupted\n")
    assert not wait_until_none(running.pid)
    left = [name for name in files(here / "photos_x4") if not name.startswith(".img2img")]
    assert 1 <= len(left) < count and not [name for name in left if name.endswith(".part")]


@needs_ray
def test_a_cluster_that_is_not_there_is_said(
    photo: Photo, here: Path, img2img: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    photo(here / "a.png")
    monkeypatch.setenv("RAY_ADDRESS", "127.0.0.1:1")
    got = img2img("upscale", "a.png", "--engine", "ray")
    assert (got.status, got.out) == (2, b"")
    (line,) = got.err.splitlines()
    assert line.startswith("error: no Ray cluster at RAY_ADDRESS=127.0.0.1:1: ")


@needs_ray
def test_nothing_to_do_starts_nothing(photo: Photo, here: Path, img2img: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    photo(here / "a.png")
    photo(here / "a_x4.png")
    monkeypatch.setitem(sys.modules, "ray", None)
    got = img2img("upscale", "a.png", "--engine", "ray")
    assert got.status == 0 and "exists" in got.err


def test_without_ray_it_is_said_what_to_install(
    photo: Photo, here: Path, img2img: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    photo(here / "a.png")
    monkeypatch.setitem(sys.modules, "ray", None)
    got = img2img("upscale", "a.png", "--engine", "ray")
    assert got == Outcome(2, b"", "error: --engine ray needs Ray: pip install 'img2img[ray]'\n")
