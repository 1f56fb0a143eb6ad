"""Fixtures for every room. This folder and tests/runtime are importable, for the helpers that lie in them."""

import importlib.util
import io
import os
import subprocess
import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pytest
from hypothesis import settings
from PIL import Image

# The tests run in as many processes as there are cores: threads on top would only get into each other's way.
os.environ.setdefault("OMP_NUM_THREADS", "1")

# Tests write thousands of files and do not cut the power: waiting for the disk is a quarter of their time.
os.fsync = lambda descriptor: None

settings.register_profile("shared-machine", deadline=None)  # a slow moment of the machine is no failure
settings.load_profile("shared-machine")

ROOT = Path(__file__).parents[1]

if importlib.util.find_spec("torch") is None:  # pip install -e '.[test]': the tests of what works without torch
    collect_ignore_glob = [
        *(f"{name}/*" for name in ("data", "docs", "evaluation", "exchange", "methods", "networks")),
        *(f"{name}/*" for name in ("objectives", "training")),
        *(f"cli/test_{name}_cli.py" for name in ("data", "degrade", "export", "import", "train")),
        "test_bundled_models.py",
    ]
sys.path.insert(0, str(ROOT / "tests" / "runtime"))  # onnx_nets


@dataclass(frozen=True)
class Outcome:
    """What a call of the command line left behind."""

    status: int
    out: bytes
    err: str


def files(folder: Path) -> list[str]:
    """All files below a folder, hidden ones too, but for the journals that batches keep."""
    found = (path for path in folder.rglob("*") if path.is_file() and not path.name.startswith(".img2img."))
    return sorted(path.relative_to(folder).as_posix() for path in found)


class Stream(io.TextIOWrapper):
    """A standard stream in memory that can pass for a terminal."""

    def __init__(self, data: bytes = b"", *, terminal: bool = False) -> None:
        super().__init__(io.BytesIO(data), encoding="utf-8", errors="backslashreplace", write_through=True)
        self.terminal = terminal

    def isatty(self) -> bool:
        return self.terminal

    def bytes(self) -> bytes:
        return self.buffer.getvalue()  # type: ignore[attr-defined,no-any-return]


@pytest.fixture(autouse=True)
def _cache(tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch) -> None:
    """Measurements of this machine are kept in a folder of the test run's own."""
    monkeypatch.setenv("IMG2IMG_CACHE", str(tmp_path_factory.getbasetemp() / "cache"))


@pytest.fixture
def img2img(monkeypatch: pytest.MonkeyPatch) -> Callable[..., Outcome]:
    """Call the command line in this process: `img2img("upscale", photo, stdin=b"...", terminal=True)`."""
    from img2img.cli import main

    def run(*args: object, stdin: bytes | None = None, terminal: bool = False) -> Outcome:
        streams = {
            "stdin": Stream(stdin or b"", terminal=stdin is None),
            "stdout": Stream(),
            "stderr": Stream(terminal=terminal),
        }
        with monkeypatch.context() as patch:
            for name, stream in streams.items():
                patch.setattr(sys, name, stream)
            status = main([str(arg) for arg in args])
        return Outcome(status, streams["stdout"].bytes(), streams["stderr"].bytes().decode())

    return run


def environment() -> dict[str, str]:
    """The environment of a child process that is to find this checkout."""
    path = os.pathsep.join(filter(None, [str(ROOT), os.environ.get("PYTHONPATH", "")]))
    return {**os.environ, "PYTHONPATH": path}


@pytest.fixture
def command() -> Callable[..., Outcome]:
    """Call `python -m img2img` in a process of its own, as a person would."""

    def run(*args: object, stdin: bytes = b"", python: tuple[str, ...] = ()) -> Outcome:
        words = [sys.executable, *python, "-m", "img2img", *map(str, args)]
        done = subprocess.run(words, input=stdin, capture_output=True, env=environment(), timeout=60, check=False)
        return Outcome(done.returncode, done.stdout, done.stderr.decode(errors="replace"))

    return run


@pytest.fixture
def photo() -> Callable[..., Path]:
    """Make a picture file: `photo(folder / "a.png", (20, 10), mode="RGBA")`."""

    def make(path: Path, size: tuple[int, int] = (12, 8), mode: str = "RGB", seed: int = 0) -> Path:
        path.parent.mkdir(parents=True, exist_ok=True)
        channels = len(Image.new(mode, (1, 1)).getbands())
        random = np.random.default_rng(seed).integers(0, 256, (size[1], size[0], channels), np.uint8)
        Image.fromarray(random.squeeze(2) if channels == 1 else random, mode).save(path)
        return path

    return make


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Callable[[str], Path]]:
    """Mount a file system of a size: `small_disk("100k")`. Skipped where this process may not mount."""
    place = tmp_path / "small-disk"

    def mount(size: str) -> Path:
        place.mkdir()
        words = ["mount", "-t", "tmpfs", "-o", f"size={size}", "tmpfs", str(place)]
        may = sys.platform == "linux" and os.geteuid() == 0
        if not may or subprocess.run(words, capture_output=True, check=False).returncode:
            pytest.skip("only root can mount a small disk")
        return place

    yield mount
    if place.is_mount():
        subprocess.run(["umount", "--lazy", str(place)], check=True)


@pytest.fixture(scope="session")
def tiny_models(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A user's model folder: `upscale-x4` (the default's name), `upscale-x2`, and the slower `slow` (x4)."""
    pytest.importorskip("onnx")
    import onnx_nets

    folder = tmp_path_factory.mktemp("models")
    onnx_nets.compact(folder / "upscale-x4.onnx", scale=4, share=0.05)
    onnx_nets.compact(folder / "upscale-x2.onnx", scale=2, share=0.05)
    onnx_nets.compact(folder / "slow.onnx", scale=4, features=48, convs=8, share=0.05)
    return folder


@pytest.fixture
def models(tiny_models: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """`tiny_models` installed as the user's own, which win over bundled ones of the same name."""
    monkeypatch.setenv("IMG2IMG_MODELS", str(tiny_models))
    return tiny_models


@pytest.fixture
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty current folder."""
    monkeypatch.chdir(tmp_path)
    return tmp_path
