"""Closed and full standard streams, endless input, and messages that reach a log."""

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from conftest import environment
from PIL import Image

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="needs a POSIX shell and /dev/full")

Photo = Callable[..., Path]
FULL = "error: cannot write standard output: No space left on device"
COMMANDS = (
    "--help",
    "--version",
    "upscale --help",
    "models",
    "models --json",
    "models schema",
    "models info upscale-x4",
)


def shell(command: str, **options: Any) -> subprocess.CompletedProcess[str]:
    """Run a line of sh in which `img2img` is this checkout's program. Python's streams are buffered, as for users."""
    words = f"img2img() {{ '{sys.executable}' -m img2img \"$@\"; }}; {command}"
    env = {key: value for key, value in environment().items() if key != "PYTHONUNBUFFERED"}
    return subprocess.run(["sh", "-c", words], capture_output=True, text=True, timeout=100, env=env, **options)


@pytest.mark.parametrize("command", COMMANDS)
def test_a_full_disk_behind_stdout_is_one_plain_line(command: str, models: Path) -> None:
    done = shell(f"img2img {command} >/dev/full")
    assert done.returncode == 1 and FULL in done.stderr.splitlines() and "bug" not in done.stderr


@pytest.mark.parametrize("command", COMMANDS)
def test_closed_streams_are_dev_null(command: str, models: Path) -> None:
    for closed in (">&-", "2>&-", "<&-", "<&- >&- 2>&-", "2>/dev/full"):
        done = shell(f"img2img {command} {closed}")
        assert done.returncode == 0 and "error" not in done.stderr, closed


def test_no_result_lands_in_a_closed_stream(here: Path, photo: Photo, models: Path) -> None:
    """A file that got the number of a closed stream would receive everything that a library prints."""
    photo(here / "a.png")
    for number, closed in enumerate((">&-", "2>&-", "<&- >&- 2>&-")):
        done = shell(f"img2img upscale a.png -o {number}.png --debug {closed}")
        assert done.returncode == 0
        with Image.open(here / f"{number}.png") as image:
            image.load()
            assert image.size == (48, 32)


def test_a_closed_stdin_is_an_empty_one(here: Path, models: Path) -> None:
    done = shell("img2img upscale - -o a.png <&-")
    assert done.returncode == 2 and not (here / "a.png").exists()
    assert done.stderr == "error: standard input is empty: pipe a picture into it, or name a file\n"


def test_a_full_disk_behind_stdout_keeps_the_files_written_before(here: Path, photo: Photo, models: Path) -> None:
    photo(here / "in/a.png"), photo(here / "in/b.png", seed=1)
    done = shell("img2img upscale in -o out --json >/dev/full")
    assert done.returncode == 1 and done.stderr == f"{FULL}\n"
    written = sorted((here / "out").glob("*.png"))
    assert written
    for path in written:
        with Image.open(path) as image:
            image.load()
    done = shell("img2img upscale in/a.png -o - >/dev/full")
    assert done.returncode == 1 and FULL in done.stderr.splitlines()


def test_a_stdout_that_is_open_for_reading_only_is_one_plain_line(models: Path) -> None:
    done = shell("img2img models 1</dev/null")
    assert done.returncode == 1 and "error: cannot write standard output: Bad file descriptor" in done.stderr


def test_endless_input_is_read_up_to_a_limit(here: Path, models: Path) -> None:
    done = shell("img2img upscale - -o a.png --max-bytes 3M </dev/zero")
    assert done.returncode == 2 and "--max-bytes" in done.stderr and done.stderr.count("\n") == 1
    done = shell("img2img upscale - -o a.png --max-pixels 1000 </dev/zero")  # the default follows the largest picture
    assert done.returncode == 2 and "--max-bytes" in done.stderr
    done = shell("yes name | img2img upscale --files-from -")
    assert done.returncode == 2 and "--max-bytes" in done.stderr and done.stderr.count("\n") == 1


def test_endless_input_under_a_memory_limit_is_no_bug(here: Path, models: Path) -> None:
    for command in ("img2img upscale - -o a.png </dev/zero", "yes | img2img upscale --files-from - --max-bytes 9G"):
        done = shell(f"ulimit -v 1200000; {command}")
        assert done.returncode == 2 and done.stderr.count("\n") == 1
        assert "memory" in done.stderr and "bug" not in done.stderr


def test_notes_reach_a_log_and_json_and_the_summary_counts_them(here: Path, photo: Photo, models: Path) -> None:
    photo(here / "a.png", mode="RGBA")
    note = "transparency laid over white: JPEG has none"
    done = shell("img2img upscale a.png -o a.jpg")
    first, summary = done.stderr.splitlines()
    assert done.returncode == 0 and first == f"a.png: {note}" and summary.endswith(", 1 note")
    done = shell("img2img upscale a.png -o b.jpg --json")
    line, total = map(json.loads, done.stdout.splitlines())
    assert done.stderr == f"a.png: {note}\n" and line["warnings"] == [note] and total["warnings"] == 1
    done = shell("img2img upscale a.png -o c.jpg --quiet")
    assert done.returncode == 0 and done.stderr == ""


def test_names_that_the_locale_cannot_write_are_escaped(here: Path, photo: Photo, models: Path) -> None:
    photo(here / os.fsdecode(b"in/\xff\xc3\xa9.png"))
    done = shell("PYTHONIOENCODING=ascii img2img upscale in -o out --dry-run")
    assert done.returncode == 0 and r"\xff\xe9.png" in done.stdout


def test_an_endless_device_is_no_picture(here: Path, models: Path) -> None:
    done = shell("ulimit -v 8000000; img2img upscale /dev/zero -o q.png")
    assert done.returncode == 1 and done.stderr.startswith("error: cannot read /dev/zero: it is not a picture")


def test_a_picture_comes_through_a_named_pipe(here: Path, photo: Photo, models: Path) -> None:
    photo(here / "a.png")
    os.mkfifo(here / "pipe.png")
    done = shell("(sleep 1; cat a.png > pipe.png) & img2img upscale pipe.png -o b.png; wait")
    assert done.returncode == 0 and (here / "b.png").is_file(), done.stderr


@pytest.mark.parametrize("words", ["upscale pipe.png -o b.png", "inpaint a.png --mask pipe.png -o b.png"])
def test_waiting_for_a_named_pipe_ends_with_a_signal(words: str, here: Path, photo: Photo) -> None:
    photo(here / "a.png")
    os.mkfifo(here / "pipe.png")
    command = [sys.executable, "-m", "img2img", *words.split(), "--threads", "1"]
    process = subprocess.Popen(command, stderr=subprocess.PIPE, text=True, env=environment(), cwd=here)
    deadline = time.monotonic() + 60
    while time.monotonic() < deadline and not _is_open(process.pid, "pipe.png"):
        time.sleep(0.1)
    process.send_signal(signal.SIGTERM)
    assert process.communicate(timeout=60)[1] == "interrupted\n" and process.returncode == 130


def _is_open(number: int, name: str) -> bool:
    folder = Path(f"/proc/{number}/fd")
    try:
        return any(os.readlink(link).endswith(name) for link in folder.iterdir())  # noqa: PTH115
    except OSError:
        return False
