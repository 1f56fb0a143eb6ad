"""Models that exist in several precisions, and which file is used."""

from pathlib import Path

import onnx_nets
import pytest

from img2img.errors import ModelError
from img2img.runtime.network import cpu, models

Folders = tuple[Path, Path]


@pytest.fixture
def folders(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Folders:
    """An empty folder for the user's models and one for bundled ones; a processor that is good at integers."""
    user, bundled = tmp_path / "user", tmp_path / "bundled"
    user.mkdir()
    bundled.mkdir()
    monkeypatch.setenv("IMG2IMG_MODELS", str(user))
    monkeypatch.setattr(models, "bundled_folder", lambda: bundled)
    monkeypatch.setattr(cpu, "has_int8", lambda: True)
    return user, bundled


def both(folder: Path, name: str = "upscale-x4", scale: int = 4, parameters: int = 100) -> tuple[Path, Path]:
    """A model and its 8-bit file, by their cards."""
    values = {"name": name, "scale": scale, "parameters": parameters, "convs": 1}
    plain = onnx_nets.compact(folder / f"{name}.onnx", **values)
    return plain, onnx_nets.compact(folder / f"{name}.int8.onnx", precision="int8", **values)


def test_a_name_is_the_float_file_and_the_8_bit_file_has_its_own_name(folders: Folders) -> None:
    plain, int8 = both(folders[1])
    assert models.find("upscale-x4") == plain
    assert models.find("upscale-x4.int8") == int8
    listed = {one.name: one.card.precision for one in models.installed() if one.card}
    assert listed == {"upscale-x4": "fp32", "upscale-x4.int8": "int8"}
    assert models.for_scale(4) == plain


def test_the_8_bit_file_runs_if_the_cpu_is_requested(folders: Folders) -> None:
    plain, int8 = both(folders[1])
    assert models.for_device(plain, "cpu") == int8
    assert models.for_device(int8, "cpu") == int8
    for device in ("auto", "cuda", "cuda:0"):
        assert models.for_device(plain, device) == plain


def test_the_8_bit_file_of_a_users_own_model_runs_as_well(folders: Folders) -> None:
    plain, int8 = both(folders[0], "mine")
    assert models.for_device(plain, "cpu") == int8


def test_a_processor_without_the_instructions_runs_the_float_file(
    folders: Folders, monkeypatch: pytest.MonkeyPatch
) -> None:
    plain, _ = both(folders[1])
    monkeypatch.setattr(cpu, "has_int8", lambda: False)
    assert models.for_device(plain, "cpu") == plain
    assert models.candidates("upscale") == [plain]


def test_a_file_that_is_named_by_its_path_is_that_file(folders: Folders, tmp_path: Path) -> None:
    (tmp_path / "run").mkdir()
    plain, _ = both(tmp_path / "run")
    assert models.for_device(plain, "cpu") == plain


@pytest.mark.parametrize(
    "changes", [{"parameters": 101}, {"scale": 2}, {"precision": "fp32"}, {"task": "translate", "scale": 1}]
)
def test_an_8_bit_file_of_an_earlier_training_is_ignored(folders: Folders, changes: dict[str, object]) -> None:
    plain, int8 = both(folders[1])
    onnx_nets.compact(int8, **{"scale": 4, "parameters": 100, "precision": "int8", "name": "upscale-x4"} | changes)
    assert models.for_device(plain, "cpu") == plain
    assert models.full_precision(int8) is None


@pytest.mark.parametrize("content", [b"", b"not a model"])
def test_a_damaged_8_bit_file_is_ignored(folders: Folders, content: bytes) -> None:
    plain, int8 = both(folders[1])
    int8.write_bytes(content)
    assert models.for_device(plain, "cpu") == plain
    with pytest.raises(ModelError, match=r"upscale-x4\.int8"):
        models.read_card(models.find("upscale-x4.int8"))


def test_the_float_file_of_an_8_bit_file_is_found_and_other_files_have_none(folders: Folders) -> None:
    plain, int8 = both(folders[1])
    assert models.full_precision(int8) == plain
    assert models.full_precision(plain) is None
    half = onnx_nets.compact(
        folders[1] / "upscale-x4.fp16.onnx", name="upscale-x4", scale=4, parameters=100, precision="fp16"
    )
    assert models.full_precision(half) == plain
    plain.unlink()
    assert models.full_precision(int8) is None


def test_a_model_and_its_8_bit_file_are_one_model_for_a_task(folders: Folders) -> None:
    plain, _ = both(folders[0], "zebra", scale=1)
    int8 = plain.with_name("zebra.int8.onnx")
    for path, precision in ((plain, "fp32"), (int8, "int8")):
        onnx_nets.compact(path, name="zebra", scale=1, task="translate", precision=precision)
    assert models.for_task("translate") == plain
    plain.unlink()
    assert models.for_task("translate") == int8


def test_candidates_are_bundled_and_the_best_comes_first(folders: Folders) -> None:
    user, bundled = folders
    small = both(bundled, "upscale-x4", 4, 100)
    best = both(bundled, "upscale-x4-best", 4, 900)
    other = both(bundled, "upscale-x2", 2, 500)
    both(user, "mine", 4, 5000)
    assert models.candidates("upscale", 4) == [*best, *small]
    assert models.candidates("upscale", 3.5) == [*best, *small]
    assert models.candidates("upscale", 8) == [*best, *small]
    assert models.candidates("upscale", 2) == list(other)
    assert models.candidates("upscale", 4, device="cuda:0") == [best[0], small[0]]
    assert models.candidates("inpaint") == []


def test_a_users_model_stands_in_for_the_bundled_one_of_its_name(folders: Folders) -> None:
    user, bundled = folders
    _, int8 = both(bundled)
    own = onnx_nets.compact(user / "upscale-x4.onnx", scale=4, parameters=100)
    assert models.candidates("upscale", 4) == [own, int8]
    assert models.for_device(own, "cpu") == own
