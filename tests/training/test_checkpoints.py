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

    monkeypatch.setattr("img2img.training.checkpoints.save_file", full)
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
