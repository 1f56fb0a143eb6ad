"""Starts batches in separate processes, kills them at random moments, and checks their output folder.

For the tests, and for benchmarks/killed.py, which does more of the same.
"""

import io
import json
import random
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import onnx_nets
from PIL import Image

from img2img.runtime.batch.journal.journal import LOCK_NAME, NAME, Journal

SUFFIXES = ("png", "jpg", "webp")


def make_photos(folder: Path, count: int, size: tuple[int, int]) -> Path:
    """A tree of pictures that take long to encode: noise, in three formats and three subfolders."""
    noise = np.random.default_rng(0)
    for number in range(count):
        path = folder / "abc"[number % 3] / f"{number}.{SUFFIXES[number // 3 % 3]}"
        path.parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(noise.integers(0, 256, (size[1], size[0], 3), np.uint8)).save(path)
    return folder


def make_model(path: Path, *operators: str) -> Path:
    """A network that takes no time (x4), so that most moments of a batch are moments of writing."""
    made: Path = onnx_nets.pointwise(path, *operators, scale=4)
    return made


@dataclass(frozen=True)
class Scene:
    """A batch, and what it makes when nobody disturbs it.

    Attributes:
        made: its output folder.
        expected: path below that -> the file's bytes.
        start_up: seconds until its first result.
        pace: seconds between two results.
    """

    photos: Path
    model: Path
    environment: Mapping[str, str] | None
    made: Path
    expected: Mapping[str, bytes]
    start_up: float
    pace: float

    @classmethod
    def undisturbed(cls, photos: Path, model: Path, out: Path, environment: Mapping[str, str] | None) -> "Scene":
        scene = cls(photos, model, environment, out, {}, 0.0, 0.0)
        began = time.monotonic()
        process = scene.start(out)
        assert process.stdout is not None
        times = [time.monotonic() for line in process.stdout if json.loads(line)["status"] == "done"]
        assert process.wait() == 0
        made = {name: (out / name).read_bytes() for name in visible(out)}
        assert len(made) == len(times) == sum(path.is_file() for path in photos.rglob("*"))
        for data in made.values():
            with Image.open(io.BytesIO(data)) as picture:
                picture.load()
        pace = (times[-1] - times[0]) / (len(times) - 1)
        return cls(photos, model, environment, out, made, times[0] - began, pace)

    def start(self, out: Path) -> subprocess.Popen[str]:
        words = ["upscale", str(self.photos), "-r", "-o", f"{out}/", "-m", str(self.model), "--json"]
        # A shell that starts the tests in the background lets them ignore Ctrl-C, and so would the child.
        before = signal.signal(signal.SIGINT, signal.default_int_handler)
        try:
            return subprocess.Popen(
                [sys.executable, "-m", "img2img", *words],
                stdout=subprocess.PIPE,
                stderr=subprocess.PIPE,
                text=True,
                env=self.environment,
            )
        finally:
            signal.signal(signal.SIGINT, before)

    def wait_at_random(self, process: subprocess.Popen[str], *, at_work: bool = False) -> bool:
        """Until a moment between the process's start and about its fifth result; `at_work`: not before the first one.

        Returns False where there were fewer results to wait for.
        """
        assert process.stdout is not None
        results = random.choice((1, 2, 3) if at_work else (0, 1, 1, 2, 2, 3))
        wanted = results
        while wanted:
            line = process.stdout.readline()
            if not line:
                return False
            wanted -= json.loads(line)["status"] == "done"
        time.sleep(random.random() * (2 * self.pace if results else self.start_up + self.pace))
        return True

    def check(self, out: Path, *earlier: "Scene") -> set[str]:
        """What must hold at every moment: a file is there whole, of this batch or of an `earlier` one, or not at all;
        and the journal knows it.

        Returns the names of half-written files that lie hidden there.
        """
        names = visible(out)
        for name in names:
            made = (out / name).read_bytes()
            assert made in [scene.expected[name] for scene in (self, *earlier)], f"{name}: {len(made)} bytes of another"
        with Journal.open(out, write=False) as kept:
            assert not kept.warnings
            for name in names:
                verdict = kept.verdict(out / name, self.photos / name, model="", options="")
                assert verdict.ours, f"{name}: {verdict.reason}"
        hidden = {path.name for path in out.rglob(".*")} - {NAME, LOCK_NAME}
        assert all(name.endswith(".part") for name in hidden), hidden
        return hidden

    def finish(self, out: Path) -> None:
        """A last call, which nobody disturbs, does what is missing."""
        process = self.start(out)
        said, error = process.communicate(timeout=120)
        assert process.returncode == 0, error
        assert json.loads(said.splitlines()[-1])["failed"] == 0
        self.check_complete(out)

    def check_complete(self, out: Path) -> None:
        """Everything is there, nothing else, and nothing half written."""
        assert self.check(out) == set()
        assert visible(out) == set(self.expected)


def visible(out: Path) -> set[str]:
    return {path.relative_to(out).as_posix() for path in out.rglob("[!.]*") if path.is_file()}


def kill_again_and_again(
    scene: Scene, folder: Path, kills: int, *, earlier: Scene | None = None, tell: Callable[[str], None] | None = None
) -> tuple[int, int]:
    """Call the batch and kill it at random moments, on one output folder until that is complete, then on the next.

    `earlier`: a batch whose results are there before each first call, and get replaced. `tell` is told of each folder.

    Returns the number of kills that left half-written files behind, and the number of folders.
    """
    killed = torn = folders = 0
    while killed < kills:
        out = folder / str(folders)
        if earlier is not None:
            shutil.copytree(earlier.made, out)
        before = killed
        left: set[str] = set()
        while killed < kills:
            process = scene.start(out)
            scene.wait_at_random(process)
            process.kill()
            _, error = process.communicate(timeout=120)
            now = scene.check(out, *filter(None, [earlier]))
            if process.returncode == 0:
                scene.check_complete(out)
                break
            assert process.returncode == -signal.SIGKILL, error
            killed += 1
            torn += not now <= left
            left = now
        scene.finish(out)
        folders += 1
        if tell is not None:
            tell(f"folder {folders}: complete after {killed - before} kills")
    return torn, folders
