"""`img2img models`: what a person and a program see of one model, and of faults in it."""

import dataclasses
import json
from collections.abc import Callable
from pathlib import Path

import onnx_nets
import pytest
from conftest import Outcome

from img2img.runtime.network import card, card_writing
from img2img.runtime.network import models as runtime_models

Run = Callable[..., Outcome]


@pytest.fixture
def stamped(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder of one installed model, `mine`, as an export leaves it; nothing is bundled."""
    folder = tmp_path / "mine"
    folder.mkdir()
    path = onnx_nets.compact(folder / "mine.onnx")
    filled = dataclasses.replace(
        runtime_models.read_card(path),
        licence="CC0-1.0",
        trained_on=("photos", "drawings"),
        parameters=1234567,
        metrics={"Set5/x2": {"psnr_y": 37.44, "ssim_y": 0.9586, "command": "img2img evaluate mine"}},
    )
    path.write_bytes(card_writing.with_card_and_selftest(path.read_bytes(), filled))
    monkeypatch.setenv("IMG2IMG_MODELS", str(folder))
    monkeypatch.setattr(runtime_models, "bundled_folder", lambda: tmp_path / "none")
    return path


def spoil(path: Path) -> None:
    data = bytearray(path.read_bytes())
    data[len(data) // 3] ^= 16
    path.write_bytes(data)


def test_list_is_what_is_done_where_nothing_is_said(img2img: Run, stamped: Path) -> None:
    assert img2img("models", "list") == img2img("models")
    assert img2img("models", "list", "--json").out == img2img("models", "--json").out


def test_info_shows_the_card_the_interface_and_the_figures(img2img: Run, stamped: Path) -> None:
    done = img2img("models", "info", "mine")
    shown = done.out.decode()
    assert (done.status, done.err) == (0, "") and shown.startswith("mine\n")
    for words in (
        str(stamped),
        f"{stamped.stat().st_size:,} bytes",
        "upscale, x2",
        "1,234,567",
        "CC0-1.0",
        "photos, drawings",
        "3 pixels around",
        "17, IR version 9",
        "image  float32  N x 3 x H x W",
        "result  float32  N x 3 x out_H x out_W",
        "Set5/x2  psnr_y 37.44, ssim_y 0.9586  img2img evaluate mine",
        card_writing.digest(stamped),
    ):
        assert words in shown, words
    assert img2img("models", "info", stamped).out == done.out


def test_info_as_json_is_one_object_with_all_of_it(img2img: Run, stamped: Path) -> None:
    done = img2img("models", "info", "mine", "--json")
    assert done.status == 0 and done.out.count(b"\n") == 1
    found = json.loads(done.out)
    assert found["name"] == "mine" and found["path"] == str(stamped) and found["bytes"] == stamped.stat().st_size
    assert found["card"]["sha256"] == card_writing.digest(stamped) and found["card"]["licence"] == "CC0-1.0"
    assert found["inputs"] == [{"name": "image", "type": "float32", "shape": ["N", 3, "H", "W"]}]
    assert found["opsets"] == {"": 17} and found["ir_version"] == 9


def test_info_of_a_file_without_a_card_shows_its_interface(img2img: Run, tmp_path: Path) -> None:
    path = onnx_nets.compact(tmp_path / "plain.onnx", with_card=False)
    done = img2img("models", "info", path)
    assert done.status == 0 and "float32  N x 3 x H x W" in done.out.decode() and "this file has no card" in done.err
    assert json.loads(img2img("models", "info", path, "--json").out)["card"] is None


def test_no_control_character_of_a_card_reaches_the_terminal(img2img: Run, tmp_path: Path) -> None:
    path = onnx_nets.compact(
        tmp_path / "evil.onnx",
        licence="\x1b[31mred",
        created_with="a\nb",
        metrics={"\x1b": {"\x07": "\x1b]0;x"}},
        domains=["\x1b[2J"],
        later={"\x1b": 1},
    )
    for action in ("info", "verify"):
        done = img2img("models", action, path)
        assert done.out and not any(byte < 32 and byte != 10 for byte in done.out)


def test_verify_prints_a_line_a_check_and_says_that_all_is_well(img2img: Run, stamped: Path) -> None:
    done = img2img("models", "verify", "--device", "cpu")
    assert done.status == 0 and done.err == "1 model checked, no problem found\n"
    rows = [line.split()[:3] for line in done.out.decode().splitlines()]
    names = ["file", "card", "weights", "digest", "load", "interface", "self-test"]
    assert rows == [["mine", name, "ok"] for name in names]


def test_verify_ends_with_status_1_when_one_of_several_has_a_fault(img2img: Run, stamped: Path) -> None:
    other = stamped.with_name("other.onnx")
    other.write_bytes(stamped.read_bytes())
    spoil(other)
    done = img2img("models", "verify")
    assert done.status == 1 and "2 models checked, 1 failed" in done.err
    failed = [line for line in done.out.decode().splitlines() if "failed" in line]
    assert len(failed) == 1 and failed[0].startswith("other")
    assert img2img("models", "verify", "mine").status == 0
    assert img2img("models", "verify", "mine", other).status == 1


def test_verify_as_json_is_a_line_a_model(img2img: Run, stamped: Path) -> None:
    other = stamped.with_name("other.onnx")
    other.write_bytes(b"no model")
    done = img2img("models", "verify", "--json")
    lines = [json.loads(line) for line in done.out.splitlines()]
    assert done.status == 1 and [(line["name"], line["passed"]) for line in lines] == [("mine", True), ("other", False)]
    assert lines[0]["checks"][-1] == {"name": "self-test", "status": "ok", "detail": "off by at most 0 of 255"}
    assert lines[1]["checks"][0]["status"] == "failed"


def test_verify_with_nothing_installed_is_an_error(img2img: Run, stamped: Path) -> None:
    stamped.unlink()
    done = img2img("models", "verify")
    assert done.status == 2 and done.err.startswith("error: no model is installed (looked in ")


def test_an_unknown_name_is_a_usage_error_and_nothing_is_checked(img2img: Run, stamped: Path) -> None:
    done = img2img("models", "verify", "mine", "nine")
    assert done.status == 2 and done.out == b"" and "did you mean 'mine'?" in done.err


def test_a_card_of_a_later_format_names_the_version_to_install(img2img: Run, tmp_path: Path) -> None:
    path = onnx_nets.compact(tmp_path / "later.onnx", format=2, created_with="img2img 0.9.0, torch 3")
    done = img2img("models", "info", path)
    assert done.status == 2 and done.out == b""
    assert "img2img 0.9.0 wrote it, so install that version or newer" in done.err


def test_the_schema_is_printed(img2img: Run) -> None:
    done = img2img("models", "schema")
    assert done.status == 0 and json.loads(done.out) == card.json_schema()


@pytest.mark.parametrize(
    ("args", "words"),
    [
        (["mine"], "use one of list, info, verify, schema; did you mean 'models info mine'?"),
        (["frobnicate"], "models frobnicate: use one of list, info, verify, schema\n"),
        (["info"], "models info needs the name or file of one model"),
        (["info", "mine", "mine"], "models info needs the name or file of one model"),
        (["list", "mine"], "models list takes no names; use 'models info mine'"),
        (["schema", "mine"], "models schema takes no names"),
        (["info", "mine", "--device", "cuda"], "--device is only valid for models verify"),
        (["verify", "--device", "gpu"], "unknown device 'gpu'"),
    ],
)
def test_a_usage_error_lists_the_choices(img2img: Run, stamped: Path, args: list[str], words: str) -> None:
    done = img2img("models", *args)
    assert (done.status, done.out) == (2, b"") and words in done.err


def test_list_and_info_pay_neither_for_numpy_nor_for_onnxruntime(command: Run, stamped: Path) -> None:
    done = command("models", "info", stamped, python=("-X", "importtime"))
    imported = {line.rpartition("|")[2].strip() for line in done.err.splitlines() if line.startswith("import time:")}
    assert done.status == 0 and "img2img.runtime.network.header" in imported
    assert not {"numpy", "onnxruntime", "rich", "torch", "PIL"} & imported
