import json
from hashlib import sha256
from pathlib import Path

import pytest
import torch

from img2img.errors import CheckpointError
from img2img.training.checkpoints import DIGESTS, Checkpoint, Store


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

    monkeypatch.setattr("safetensors.torch.save", full)
    with pytest.raises(CheckpointError, match=r"No space left.*last good checkpoint is step 1"):
        store.save(checkpoint(2))
    assert [path.name for path in tmp_path.iterdir()] == ["step-00000001"]


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
    with pytest.raises(CheckpointError):
        store.load()


def flip_bit(path: Path) -> None:
    content = bytearray(path.read_bytes())
    content[-1] ^= 1
    path.write_bytes(content)


def test_a_checkpoint_holds_the_sha256_of_each_of_its_other_files(tmp_path: Path) -> None:
    place = Store(tmp_path, keep=1).save(checkpoint(1))
    others = [path for path in place.iterdir() if path.name != DIGESTS]
    assert sorted(path.name for path in others) == ["generator.safetensors", "state.pt"]
    expected = {path.name: sha256(path.read_bytes()).hexdigest() for path in others}
    assert json.loads((place / DIGESTS).read_text()) == expected


@pytest.mark.parametrize("name", ["state.pt", "generator.safetensors"])
@pytest.mark.parametrize("damage", ["flip", "truncate", "remove"])
def test_a_damaged_checkpoint_is_set_aside_for_the_one_before(tmp_path: Path, name: str, damage: str) -> None:
    store, notes = Store(tmp_path, keep=3), list[str]()
    for step in (1, 2):
        place = store.save(checkpoint(step))
    match damage:
        case "flip":
            flip_bit(place / name)
        case "truncate":
            (place / name).write_bytes((place / name).read_bytes()[:-9])
        case "remove":
            (place / name).unlink()
    loaded = store.load_last_good(notes.append)
    assert loaded.step == 1 and torch.equal(loaded.weights["generator"]["w"], torch.tensor([1.0, 1.0]))
    assert store.steps() == [1] and (tmp_path / "damaged-step-00000002").is_dir()
    assert len(notes) == 1 and "step-00000002" in notes[0] and "checkpoint of step 1" in notes[0]


def test_if_every_checkpoint_is_damaged_none_is_renamed(tmp_path: Path) -> None:
    store = Store(tmp_path, keep=3)
    for step in (1, 2):
        flip_bit(store.save(checkpoint(step)) / "state.pt")
    with pytest.raises(CheckpointError, match="step-00000002"):
        store.load_last_good(lambda text: None)
    assert store.steps() == [1, 2]


def test_a_checkpoint_of_version_0_1_has_no_digests_and_loads(tmp_path: Path) -> None:
    store = Store(tmp_path, keep=1)
    (store.save(checkpoint(1)) / DIGESTS).unlink()
    assert store.load().step == 1


@pytest.mark.parametrize("name", ["step-²", "step-x", "step-5", "step-٥"])
def test_folders_with_other_names_are_no_checkpoints(tmp_path: Path, name: str) -> None:
    store = Store(tmp_path, keep=1)
    store.save(checkpoint(1))
    (tmp_path / name).mkdir()
    assert store.steps() == [1]


@pytest.mark.parametrize("content", [[1, 2], {"step": "1"}, {"weights": 1}, 7])
def test_other_content_in_state_pt_is_an_error_that_names_it(tmp_path: Path, content: object) -> None:
    store = Store(tmp_path, keep=1)
    place = store.save(checkpoint(1))
    (place / DIGESTS).unlink()
    torch.save(content, place / "state.pt")
    with pytest.raises(CheckpointError, match=r"state\.pt"):
        store.load()


def test_half_written_checkpoints_of_killed_runs_are_removed(tmp_path: Path) -> None:
    store = Store(tmp_path, keep=1)
    store.save(checkpoint(1))
    (tmp_path / ".step-00000002.4711.part").mkdir()
    (tmp_path / ".step-00000002.4711.part" / "generator.safetensors").write_bytes(b"half")
    store.remove_leftovers()
    assert [path.name for path in tmp_path.iterdir()] == ["step-00000001"]
