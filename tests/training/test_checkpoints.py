from collections.abc import Callable
from pathlib import Path

import pytest
import torch

from img2img.errors import CheckpointError
from img2img.training.checkpoints import Checkpoint, Store


def checkpoint(step: int) -> Checkpoint:
    return Checkpoint(step, {"generator": {"w": torch.full((2,), float(step))}}, {"rng": [1, 2]})


def test_a_saved_checkpoint_is_loaded(tmp_path: Path) -> None:
    store = Store(tmp_path, keep=3)
    store.save(checkpoint(5))
    loaded = store.load()
    assert loaded.step == 5 and loaded.state == {"rng": [1, 2]}
    assert torch.equal(loaded.weights["generator"]["w"], torch.tensor([5.0, 5.0]))


def test_the_last_checkpoints_and_the_best_are_kept(tmp_path: Path) -> None:
    store = Store(tmp_path, keep=2)
    for step, figure in ((1, 30.0), (2, 33.0), (3, 31.0), (4, None), (5, 32.0)):
        store.save(checkpoint(step), figure)
    assert store.steps() == [2, 4, 5]
    assert store.best() == (2, 33.0)


def test_a_full_disk_keeps_the_last_good_checkpoint(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    store = Store(tmp_path, keep=2)
    store.save(checkpoint(1))

    def full(*args: object, **kwargs: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("img2img.training.checkpoints._write", full)
    with pytest.raises(CheckpointError, match=r"No space left.*last good checkpoint is step 1"):
        store.save(checkpoint(2))
    assert [path.name for path in tmp_path.iterdir()] == ["step-00000001"]


def test_a_disk_that_really_fills_up(small_disk: Callable[[str], Path]) -> None:
    store = Store(small_disk("60k"), keep=2)
    store.save(checkpoint(1))
    large = checkpoint(2)
    large.weights["generator"]["w"] = torch.zeros(40_000)
    with pytest.raises(CheckpointError, match=r"No space left on device; the last good checkpoint is step 1"):
        store.save(large)
    assert [path.name for path in store.folder.iterdir()] == ["step-00000001"]
    assert store.load().step == 1


@pytest.mark.parametrize("name", ["state.pt", "generator.safetensors", "digests.json"])
@pytest.mark.parametrize("damage", ["flipped bit", "cut off"])
def test_a_damaged_checkpoint_is_set_aside_for_the_one_before(tmp_path: Path, name: str, damage: str) -> None:
    store = Store(tmp_path, keep=3)
    store.save(checkpoint(1))
    file = store.save(checkpoint(2)) / name
    content = bytearray(file.read_bytes())
    content[len(content) // 2] ^= 1
    file.write_bytes(content if damage == "flipped bit" else content[:-3])
    notes: list[str] = []
    loaded = store.load_newest(notes.append)
    assert loaded.step == 1 and torch.equal(loaded.weights["generator"]["w"], torch.ones(2))
    assert len(notes) == 1 and "step-00000002" in notes[0] and "last good checkpoint is step 1" in notes[0]
    assert sorted(path.name for path in tmp_path.iterdir()) == ["step-00000001", "step-00000002.damaged"]
    store.save(checkpoint(2))  # the run gets there again
    assert store.load().step == 2


def test_the_only_checkpoint_is_not_set_aside(tmp_path: Path) -> None:
    store = Store(tmp_path, keep=3)
    (store.save(checkpoint(2)) / "state.pt").write_bytes(b"")
    with pytest.raises(CheckpointError, match="another --out"):
        store.load_newest(pytest.fail)
    assert store.steps() == [2]


def test_leftovers_of_killed_processes_are_removed(tmp_path: Path) -> None:
    store = Store(tmp_path, keep=3)
    store.save(checkpoint(1))
    (tmp_path / ".step-00000002.123.part").mkdir()
    (tmp_path / ".step-00000002.123.part" / "state.pt").write_bytes(b"half")
    (tmp_path / "step-²").mkdir()  # a digit to Python, but no step
    store.remove_leftovers()
    assert sorted(path.name for path in tmp_path.iterdir()) == ["step-00000001", "step-²"]
    assert store.steps() == [1]


def test_no_checkpoint_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(CheckpointError, match="no checkpoint"):
        Store(tmp_path, keep=1).load()


@pytest.mark.parametrize("name", ["state.pt", "generator.safetensors"])
def test_a_broken_file_is_named(tmp_path: Path, name: str) -> None:
    store = Store(tmp_path, keep=1)
    place = store.save(checkpoint(1))
    (place / name).write_bytes(b"\x00" * 40)
    with pytest.raises(CheckpointError, match="step-00000001"):
        store.load()


def test_pickled_code_is_not_executed(tmp_path: Path) -> None:
    store = Store(tmp_path, keep=1)
    place = store.save(checkpoint(1))
    torch.save({"step": 1, "hook": Path("x")}, place / "state.pt")
    (place / "digests.json").unlink()  # whoever changes one file can change the other
    with pytest.raises(CheckpointError):
        store.load()
