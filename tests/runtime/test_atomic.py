"""Files are complete or do not exist."""

import os
import stat
from pathlib import Path

import pytest

from img2img.atomic import atomic, temporary_name
from img2img.errors import PictureError


def test_target_appears_only_at_the_end_and_alone(tmp_path: Path) -> None:
    target = tmp_path / "photo.png"
    with atomic(target) as stream:
        stream.write(b"half")
        stream.flush()
        assert not target.exists()
        (beside,) = tmp_path.iterdir()
        assert beside.name.startswith(f".photo.png.{os.getpid()}.") and beside.suffix == ".part"
        stream.write(b" and half")
        stream.seek(0)
        stream.write(b"H")
    assert [(path.name, path.read_bytes()) for path in tmp_path.iterdir()] == [("photo.png", b"Half and half")]


@pytest.mark.parametrize("failure", [ValueError, KeyboardInterrupt, SystemExit, MemoryError])
def test_failure_leaves_the_old_file_and_nothing_else(tmp_path: Path, failure: type[BaseException]) -> None:
    target = tmp_path / "photo.png"
    target.write_bytes(b"old")
    with pytest.raises(failure), atomic(target) as stream:
        stream.write(b"new")
        raise failure
    assert [(path.name, path.read_bytes()) for path in tmp_path.iterdir()] == [("photo.png", b"old")]


def test_permissions_are_a_new_files_or_those_of_the_file_replaced(tmp_path: Path) -> None:
    new, plain = tmp_path / "new", tmp_path / "plain"
    plain.write_bytes(b"")
    with atomic(new) as stream:
        stream.write(b"1")
    assert new.stat().st_mode == plain.stat().st_mode
    new.chmod(0o640)
    with atomic(new) as stream:
        stream.write(b"2")
    assert stat.S_IMODE(new.stat().st_mode) == 0o640 and new.read_bytes() == b"2"


@pytest.mark.skipif(os.name != "posix", reason="Windows has no mode bits")
def test_permissions_of_a_new_file_can_be_given(tmp_path: Path) -> None:
    new = tmp_path / "new"
    for _ in range(2):  # a protection that is given as well does not protect the file
        with atomic(new, 0o400) as stream:
            stream.write(b"1")
        assert stat.S_IMODE(new.stat().st_mode) == 0o400


def test_symbolic_link_stays_and_its_file_is_replaced(tmp_path: Path) -> None:
    (tmp_path / "elsewhere").mkdir()
    real, link = tmp_path / "elsewhere" / "real.png", tmp_path / "link.png"
    real.write_bytes(b"old")
    link.symlink_to(real)
    with atomic(link) as stream:
        stream.write(b"new")
    assert link.is_symlink() and real.read_bytes() == b"new"
    assert [path.name for path in real.parent.iterdir()] == ["real.png"]


def test_what_is_no_regular_file_is_written_to_and_not_replaced(tmp_path: Path) -> None:
    pipe = tmp_path / "pipe"
    os.mkfifo(pipe)
    reader = os.open(pipe, os.O_RDONLY | os.O_NONBLOCK)
    try:
        with atomic(pipe) as stream:
            stream.write(b"data")
        assert os.read(reader, 100) == b"data"
    finally:
        os.close(reader)
    assert stat.S_ISFIFO(pipe.stat().st_mode)


def test_target_that_cannot_be_written_is_reported(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(PictureError, match="folder"), atomic(tmp_path):
        pytest.fail("a folder was opened")
    (tmp_path / "file").write_bytes(b"")
    with pytest.raises(PictureError, match="cannot write"), atomic(tmp_path / "file" / "x.png"):
        pytest.fail("a file was taken for a folder")
    target = tmp_path / "protected.png"
    target.write_bytes(b"mine")
    monkeypatch.setattr(os, "access", lambda *_: False)  # root may write everything
    with pytest.raises(PictureError, match=r"protected\.png.*write-protected"), atomic(target):
        pytest.fail("a protected file was opened")
    assert target.read_bytes() == b"mine"


def test_failed_renaming_is_reported_and_cleaned_up(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_: object) -> None:
        raise OSError(13, "Permission denied")

    monkeypatch.setattr(Path, "replace", refuse)
    with pytest.raises(PictureError, match="Permission denied"), atomic(tmp_path / "x.png") as stream:
        stream.write(b"1")
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("name", ["a.png", "n" * 251 + ".png", "ü" * 125 + ".png", "写" * 83 + ".png"])
def test_temporary_name_fits_the_file_system(tmp_path: Path, name: str) -> None:
    temporary = temporary_name(name)
    assert temporary.startswith(".") and temporary.endswith(".part") and temporary != temporary_name(name)
    assert len(os.fsencode(temporary)) <= 255 and "\ufffd" not in temporary
    with atomic(tmp_path / name) as stream:
        stream.write(b"1")
    assert [path.name for path in tmp_path.iterdir()] == [name]
