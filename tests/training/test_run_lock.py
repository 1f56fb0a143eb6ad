"""Only one process trains in a run folder. The lock ends with its process."""

import os
import subprocess
import sys
from pathlib import Path

import pytest
from conftest import environment

from img2img.errors import ConfigError, ExitStatus
from img2img.training import run_lock

HOLD = "import sys, time; from pathlib import Path; from img2img.training import run_lock\n"
HOLD += "lock = run_lock.RunLock(Path(sys.argv[1])); print('held', flush=True); time.sleep(60)"


def holder(folder: Path) -> subprocess.Popen[str]:
    words = [sys.executable, "-c", HOLD, str(folder)]
    process = subprocess.Popen(words, stdout=subprocess.PIPE, text=True, env=environment())
    assert process.stdout is not None and process.stdout.readline() == "held\n"
    return process


def test_the_second_process_hears_who_is_training(tmp_path: Path) -> None:
    first = holder(tmp_path)
    try:
        with pytest.raises(ConfigError, match=rf"process {first.pid} on .* is training here.*--out") as caught:
            run_lock.RunLock(tmp_path)
        assert caught.value.status == ExitStatus.USAGE
    finally:
        first.kill()
        first.communicate()


def test_a_killed_process_leaves_no_lock(tmp_path: Path) -> None:
    first = holder(tmp_path)
    first.kill()
    first.communicate()
    lock = run_lock.RunLock(tmp_path)
    holder_now = run_lock._holder(tmp_path / run_lock.LOCK)
    assert holder_now is not None and holder_now.startswith(f"process {os.getpid()} ")
    lock.release()
    run_lock.RunLock(tmp_path).release()


def test_a_lock_is_not_followed_out_of_the_folder(tmp_path: Path) -> None:
    outside = tmp_path / "outside"
    outside.write_text("mine")
    (tmp_path / "run").mkdir()
    (tmp_path / "run" / run_lock.LOCK).symlink_to(outside)
    with pytest.raises(OSError):
        run_lock.RunLock(tmp_path / "run")
    assert outside.read_text() == "mine"
