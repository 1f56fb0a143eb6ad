"""What version 0.1.0 left behind stays of use: journals, model files with their cards, and run folders."""

import json
import os
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest
from commands_010 import BATCHES, FILES, GO_ON, PLACEHOLDER, TRAIN, move_run
from conftest import Outcome, files
from PIL import Image, ImageOps

Run = Callable[..., Outcome]

LONG_AGO = 1_600_000_000_000_000_000  # ns
BUNDLED = sorted((Path(__file__).parents[2] / "weights").glob("*.onnx"))
CARDS = json.loads((FILES / "cards.json").read_text(encoding="utf-8"))


@pytest.fixture
def old(here: Path) -> Path:
    """A copy of the files of 0.1.0, as a checkout leaves them: all with other times. It is the current folder."""
    shutil.copytree(FILES, here, dirs_exist_ok=True)
    for path in here.rglob("*"):
        if path.is_file():
            os.utime(path, ns=(LONG_AGO, LONG_AGO))
    for method in TRAIN:
        move_run(here / "runs" / method, PLACEHOLDER, here.as_posix())
    return here


def statuses(done: Outcome) -> list[tuple[str, str]]:
    """(name of the input, status) for each result, sorted."""
    lines = [json.loads(line) for line in done.out.splitlines()]
    return sorted((Path(line["input"]).name, line["status"]) for line in lines if line["status"] != "summary")


def state(folder: Path) -> dict[str, tuple[bytes, int]]:
    """Bytes and time of every result below `folder`."""
    return {name: ((folder / name).read_bytes(), (folder / name).stat().st_mtime_ns) for name in files(folder)}


# --- batches ---


@pytest.mark.parametrize("output", BATCHES)
def test_a_batch_of_010_is_done_already(img2img: Run, old: Path, output: str) -> None:
    before = state(old / output)
    done = img2img(*BATCHES[output].split(), "--json")
    assert (done.status, done.err) == (0, "")
    assert len(statuses(done)) == len(before) > 0
    assert {status for _, status in statuses(done)} == {"skipped"}
    assert state(old / output) == before


@pytest.mark.parametrize("output", BATCHES)
def test_only_a_changed_input_is_done_again(img2img: Run, old: Path, output: str) -> None:
    before = state(old / output)
    with Image.open(old / "photos/b.png") as image:
        ImageOps.invert(image).save(old / "photos/b.png")
    done = img2img(*BATCHES[output].split(), "--json", "--quiet")
    assert (done.status, done.err) == (0, "")
    assert all((status == "done") == (name == "b.png") for name, status in statuses(done))
    after = state(old / output)
    changed = {name for name in before if after[name] != before[name]}
    assert after.keys() == before.keys()
    assert changed == {name for name in before if Path(name).stem == "b"} != set()


def test_a_changed_mask_or_option_or_model_is_noticed(img2img: Run, old: Path) -> None:
    shutil.copy(old / "masks/a.png", old / "masks/d.png")
    done = img2img(*BATCHES["filled"].split(), "--json")
    assert statuses(done) == [("a.png", "skipped"), ("b.png", "skipped"), ("d.png", "done")]
    done = img2img(*BATCHES["upscaled"].split(), "--strength", "0.5", "--json")
    assert statuses(done) == [("a.png", "done"), ("b.png", "done"), ("d.png", "done")]
    done = img2img(*BATCHES["translated"].replace("translator", "../runs/pix2pix/model").split(), "--json")
    assert statuses(done) == [("a.png", "done"), ("b.png", "done"), ("d.png", "done")]


def test_results_are_those_of_010(img2img: Run, old: Path) -> None:
    """Pixel for pixel but for a last bit: other processors round differently."""
    before = {name: Image.open(old / name).copy() for name in files(old) if name.split("/")[0] in BATCHES}
    assert before
    for output, words in BATCHES.items():
        shutil.rmtree(old / output)
        assert img2img(*words.split()).status == 0
    for name, image in before.items():
        with Image.open(old / name) as now:
            assert (now.format == "JPEG") == name.endswith(".jpg") and (now.mode, now.size) == (image.mode, image.size)
            largest = max(abs(a - b) for a, b in zip(now.tobytes(), image.tobytes(), strict=True))
            assert largest <= (6 if now.format == "JPEG" else 1), name


# --- model files ---


@pytest.mark.parametrize("model", CARDS)
def test_a_card_of_010_is_read_whole(img2img: Run, old: Path, model: str) -> None:
    done = img2img("models", "info", model, "--json")
    assert (done.status, done.err) == (0, "")
    card = json.loads(done.out)["card"]
    assert {key: card[key] for key in CARDS[model]} == CARDS[model]


@pytest.mark.parametrize("model", [name for name in CARDS if name.startswith("runs/")])
def test_a_model_file_of_010_passes_every_check(img2img: Run, old: Path, model: str) -> None:
    done = img2img("models", "verify", model, "--json", "--device", "cpu")
    assert done.status == 0, done.err
    assert json.loads(done.out)["passed"]


@pytest.mark.parametrize("path", BUNDLED, ids=lambda path: path.stem)
def test_a_bundled_card_is_read(img2img: Run, path: Path) -> None:
    card = json.loads(img2img("models", "info", path.stem, "--json").out)["card"]
    assert card["format"] == 1 and card["name"] == path.stem.removesuffix(".int8")
    tasks = {"upscale": "upscale", "restore": "upscale", "inpaint": "inpaint"}
    assert card["task"] == tasks.get(path.stem.split("-")[0], "translate")
    assert card["scale"] == (int(path.stem[9]) if path.stem.startswith("upscale-") else 1)
    assert card["precision"] == ("int8" if path.stem.endswith(".int8") else "fp32")
    assert len(card["domains"]) == (5 if path.stem == "emoji-styles" else 0)
    assert card["sha256"] and card["selftest"]["result"] and card["created_with"].startswith("img2img ")


# --- runs ---


@pytest.mark.parametrize("method", TRAIN)
def test_a_run_of_010_goes_on_as_it_would_have(img2img: Run, old: Path, method: str) -> None:
    pytest.importorskip("torch")
    run = old / "runs" / method
    done = img2img(*GO_ON.format(method=method).split())
    assert done.status == 0, done.err
    expected, found = (lines(run / name) for name in ("log-after-4-steps.jsonl", "log.jsonl"))
    assert [line["step"] for line in found] == [line["step"] for line in expected] != []
    for now, then in zip(found, expected, strict=True):
        assert figures(now) == pytest.approx(figures(then), rel=1e-2, abs=1e-3)
    assert json.loads(img2img("models", "info", run / "model.onnx", "--json").out)["card"]["task"]


def test_the_command_that_began_a_run_of_010_finds_it_finished(img2img: Run, old: Path) -> None:
    pytest.importorskip("torch")
    before = (old / "runs/esrgan/log.jsonl").read_bytes()
    done = img2img(*TRAIN["esrgan"].split())
    assert done.status == 0, done.err
    assert (old / "runs/esrgan/log.jsonl").read_bytes() == before


def test_other_settings_than_those_of_a_run_of_010_are_refused(img2img: Run, old: Path) -> None:
    pytest.importorskip("torch")
    done = img2img(*TRAIN["pix2pix"].split(), "--set", "optimiser.rate=1e-3")
    assert done.status == 2 and "optimiser" in done.err


@pytest.mark.parametrize("method", ["pix2pix", "stargan"])
def test_a_run_of_010_is_exported_without_its_data(img2img: Run, old: Path, method: str) -> None:
    """facts.json describes the data to the networks."""
    pytest.importorskip("torch")
    shutil.rmtree(old / "pairs"), shutil.rmtree(old / "domains")
    done = img2img("export", f"runs/{method}", "-o", "again.onnx")
    assert done.status == 0, done.err
    words = ["--to", "red"] if method == "stargan" else []
    for model, result in (("again.onnx", "new.png"), (f"runs/{method}/model.onnx", "old.png")):
        assert img2img("translate", "photos/a.png", "-m", model, "-o", result, *words).status == 0
    with Image.open("new.png") as new, Image.open("old.png") as before:
        assert max(abs(a - b) for a, b in zip(new.tobytes(), before.tobytes(), strict=True)) <= 1


def test_weights_of_a_run_of_010_are_exported_and_begin_another_run(img2img: Run, old: Path) -> None:
    pytest.importorskip("torch")
    done = img2img("export", "runs/esrgan", "--to", "safetensors", "-o", "weights.safetensors")
    assert done.status == 0 and (old / "weights.safetensors").stat().st_size > 1000, done.err
    done = img2img(*TRAIN["esrgan"].replace("runs/esrgan", "runs/next").split(), "--start", "runs/esrgan")
    assert done.status == 0 and (old / "runs/next/model.onnx").exists(), done.err


def test_a_model_of_a_run_of_010_is_evaluated(img2img: Run, old: Path) -> None:
    pytest.importorskip("torch")
    done = img2img("evaluate", "runs/pix2pix/model.onnx", "--data", "pairs", "--json")
    assert done.status == 0, done.err
    assert len(done.out.splitlines()) == 5


def lines(log: Path) -> list[dict[str, object]]:
    return [json.loads(line) for line in log.read_text(encoding="utf-8").splitlines()]


def figures(line: dict[str, object]) -> dict[str, float]:
    """The figures of a line of log.jsonl, but for shares of decisions, in which a last bit may count."""
    values = line.get("validation", line)
    assert isinstance(values, dict)
    return {key: value for key, value in values.items() if not key.startswith(("accuracy", "recognised"))}
