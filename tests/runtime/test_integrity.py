"""A model whose bytes differ from the digest in its card is noticed when it is loaded."""

from collections.abc import Callable
from pathlib import Path

import onnx_nets
import pytest
from conftest import Outcome

import img2img as package
from img2img.errors import ModelError
from img2img.runtime.network import cache, card_writing, models, session

Run = Callable[..., Outcome]
Photo = Callable[..., Path]


@pytest.fixture(autouse=True)
def own_cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("IMG2IMG_CACHE", str(tmp_path / "cache"))
    return tmp_path / "cache"


def with_digest(path: Path) -> Path:
    card = models.read_card(path)
    assert card is not None
    path.write_bytes(card_writing.with_card(path.read_bytes(), card))
    return path


def changed(path: Path) -> Path:
    """Change a letter in the name of the graph, which changes the file but no result."""
    data = path.read_bytes()
    assert data.count(b"\x12\x03net") == 1
    path.write_bytes(data.replace(b"\x12\x03net", b"\x12\x03nex"))
    return path


@pytest.fixture
def whole(tmp_path: Path) -> Path:
    return with_digest(onnx_nets.compact(tmp_path / "whole.onnx"))


@pytest.fixture
def broken(tmp_path: Path) -> Path:
    return changed(with_digest(onnx_nets.compact(tmp_path / "broken.onnx")))


def test_a_changed_model_runs_with_a_warning_and_is_refused_with_verify(whole: Path, broken: Path) -> None:
    assert session.load(whole, verify=True).notes == ()
    (note,) = session.load(broken).notes
    assert "broken.onnx: damaged or changed" in note and "--verify" in note
    assert package.load(broken).notes == (note,)
    with pytest.raises(ModelError, match=r"broken\.onnx: damaged or changed: its digest differs"):
        package.load(broken, verify=True)


@pytest.mark.parametrize(
    ("command", "make", "options"),
    [
        ("upscale", lambda path: onnx_nets.compact(path, share=0.01), []),
        ("translate", lambda path: onnx_nets.domains(path, {"red": (1, 0, 0)}), ["--to", "red"]),
        ("inpaint", onnx_nets.filler, ["--mask", "mask.png"]),
    ],
)
def test_every_command_warns_on_stderr_or_refuses(
    command: str, make: Callable[[Path], Path], options: list[str], img2img: Run, photo: Photo, here: Path
) -> None:
    photo(here / "a.png", (16, 16))
    photo(here / "mask.png", (16, 16), "L")
    changed(with_digest(make(here / "net.onnx")))
    words = [command, "a.png", "-m", "net.onnx", "-o", "result.png", *options]
    refused = img2img(*words, "--verify")
    assert refused.status == 2 and not (here / "result.png").exists()
    assert refused.err.startswith("error: net.onnx: damaged or changed")
    warned = img2img(*words)
    assert warned.status == 0 and (here / "result.png").exists()
    assert warned.err.startswith("warning: net.onnx: damaged or changed")


def test_a_file_is_hashed_once_and_again_when_it_changes(
    whole: Path, own_cache: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    hashed = []
    digest = card_writing.digest
    monkeypatch.setattr(card_writing, "digest", lambda path: hashed.append(path) or digest(path))
    session.load(whole)
    session.load(whole)
    assert len(hashed) == 1
    session.load(whole, verify=True)
    assert len(hashed) == 2, "--verify does not trust the cache"
    changed(whole)
    assert session.load(whole).notes and session.load(whole).notes
    assert len(hashed) == 3


@pytest.mark.parametrize("content", [b"", b'{"key', b"[]", b"\xff", b'{"key": 1, "value": {"sha256": 3}}'])
def test_a_corrupt_cache_is_ignored_and_written_again(broken: Path, own_cache: Path, content: bytes) -> None:
    assert session.load(broken).notes
    (kept,) = (own_cache / "digests").iterdir()
    good = kept.read_bytes()
    kept.write_bytes(content)
    assert session.load(broken).notes
    assert kept.read_bytes() == good


def test_a_cache_that_cannot_be_written_changes_nothing(broken: Path, own_cache: Path) -> None:
    own_cache.write_bytes(b"a file, not a folder")
    assert session.load(broken).notes
    assert cache.get("digests", ["x"]) is None


def test_a_card_without_a_digest_cannot_be_verified(tmp_path: Path) -> None:
    path = onnx_nets.compact(tmp_path / "old.onnx")
    assert session.load(path).notes == ()
    assert "has no digest" in session.load(path, verify=True).notes[0]
