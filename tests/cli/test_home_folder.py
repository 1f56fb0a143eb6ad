"""img2img writes nothing to the home folder but its cache, and depends on nothing in it."""

import json
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
from conftest import ROOT, Outcome, files

Run = Callable[..., Outcome]
Photo = Callable[..., Path]

MODEL = ROOT / "weights" / "upscale-x2.onnx"
"""A model with a digest, which is kept in the cache."""


@pytest.fixture
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    folder = tmp_path / "home"
    folder.mkdir()
    for name in ("IMG2IMG_CACHE", "XDG_CACHE_HOME", "XDG_CONFIG_HOME", "XDG_DATA_HOME", "ORT_DISABLE_TELEMETRY"):
        monkeypatch.delenv(name, raising=False)
    for name in ("HOME", "USERPROFILE", "LOCALAPPDATA", "APPDATA"):
        monkeypatch.setenv(name, str(folder))
    return folder


def others(home: Path) -> list[str]:
    """The files in the home folder that are not in our cache."""
    return [name for name in files(home) if "img2img" not in Path(name).parts]


def test_nothing_is_written_to_the_home_folder_but_the_cache(
    command: Run, home: Path, photo: Photo, tmp_path: Path
) -> None:
    picture = photo(tmp_path / "a.png")
    assert command("upscale", picture, "-m", MODEL, "-o", tmp_path / "b.png", "-q") == Outcome(0, b"", "")
    assert command("upscale", picture, "-m", MODEL, "-o", tmp_path / "out", "--dry-run").status == 0
    assert command("models", "verify", MODEL).status == 0
    assert others(home) == [] and any("digests" in name for name in files(home))


def test_a_home_folder_that_cannot_be_written_changes_nothing(
    command: Run, home: Path, photo: Photo, tmp_path: Path
) -> None:
    home.rmdir()
    home.write_bytes(b"a file")  # root may write to a read-only folder, but nobody to this
    picture = photo(tmp_path / "a.png")
    assert command("upscale", picture, "-m", MODEL, "-o", tmp_path / "b.png", "-q") == Outcome(0, b"", "")


def test_a_corrupt_cache_is_ignored_and_written_again(command: Run, home: Path, photo: Photo, tmp_path: Path) -> None:
    picture = photo(tmp_path / "a.png")
    words = ("upscale", picture, "-m", MODEL, "-o", tmp_path / "b.png", "-q", "--existing", "overwrite")
    assert command(*words) == Outcome(0, b"", "")
    kept = [home / name for name in files(home)]
    for path in kept:
        path.write_bytes(b'{"key": [\xff')
    assert command(*words) == Outcome(0, b"", "")
    assert kept and all(json.loads(path.read_bytes())["value"] for path in kept)


@pytest.mark.skipif(sys.platform == "win32", reason="needs POSIX users")
def test_without_a_home_folder_nothing_is_kept(
    home: Path, here: Path, photo: Photo, img2img: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    import pwd

    def unknown(number: int) -> None:
        raise KeyError(number)

    monkeypatch.delenv("HOME")
    monkeypatch.setattr(pwd, "getpwuid", unknown)
    photo(here / "a.png")
    assert img2img("upscale", "a.png", "-m", MODEL, "-o", "b.png", "-q") == Outcome(0, b"", "")
    assert sorted(path.name for path in here.iterdir()) == ["a.png", "b.png", "home"]
