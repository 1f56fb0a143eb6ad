"""`img2img export`: its output and its errors."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import onnx
import onnx_nets
import pytest
import trials

from img2img import methods
from img2img.cli import app
from img2img.runtime.network import models

TINY = {"name": "compact", "options": {"features": 4, "convs": 1}}


@pytest.fixture(autouse=True)
def installed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(app.COMMANDS, "export", ("img2img.cli.export:export", "Write a trained network as a file."))


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    place = tmp_path_factory.mktemp("runs")
    recipe: Any = methods.find("srgan").recipe
    data = {"folders": [str(trials.photos(place / "photos", size=96))], "crop": 32}
    values = {"scale": 2, "data": data, "generator": TINY, "batch": 2, "steps": 1, "validate_every": 1}
    trials.train_to_end(methods.find("srgan"), recipe.parse(recipe.with_defaults(values), where="test"), place / "mine")
    return place / "mine"


def test_a_run_becomes_a_model_and_its_checks_are_shown(run: Path, here: Path, img2img: Callable[..., Any]) -> None:
    done = img2img("export", run, "--name", "my model")
    assert done.status == 0 and done.out == b"", done.err
    card = models.read_card(here / "model.onnx")
    assert card is not None and card.name == "my model" and card.precision == "fp32" and card.context == 3
    for words in ("largest difference", "compared at", "3 pixels around", "CPU seconds per megapixel"):
        assert words in done.err
    assert "wrote model.onnx; use it with\n  img2img upscale PHOTO --model model.onnx" in done.err
    assert [path.name for path in here.iterdir()] == ["model.onnx"]


def test_weights_for_other_programs(run: Path, here: Path, img2img: Callable[..., Any]) -> None:
    for to, name in (("pth", "model.pth"), ("safetensors", "model.safetensors")):
        done = img2img("export", run, "--to", to)
        assert done.status == 0 and done.err == f"wrote {name}\n", done.err
        assert (here / name).stat().st_size > 100


def test_a_model_file_or_an_installed_model_in_another_precision(
    here: Path, models: Path, img2img: Callable[..., Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    done = img2img("export", "upscale-x2", "--precision", "fp16", "--name", "mine")
    assert done.status == 0 and "PSNR to the fp32 file, dB" in done.err, done.err
    from img2img.runtime.network.models import read_card

    card = read_card(here / "model.fp16.onnx")
    assert card is not None and (card.precision, card.name, card.task) == ("fp16", "mine", "upscale")
    monkeypatch.setattr("img2img.exchange.samples.seconds_per_megapixel", lambda *args, **more: [2.0, 1.0])
    photos = trials.photos(here / "photos", size=96)
    args = ("-p", "int8", "--calibrate", photos, "-o", here / "small.onnx")
    done = img2img("export", onnx_nets.compact(here / "net.onnx", convs=4), *args, "--max-drop", "9")
    assert done.status == 0 and "convolutions in int8" in done.err, done.err
    done = img2img("export", here / "small.onnx", *args)
    assert done.status == 2 and "is already int8; use the fp32 file" in done.err


def test_weights_are_stored_with_16_bits(run: Path, here: Path, img2img: Callable[..., Any]) -> None:
    onnx_nets.compact(here / "net.onnx", features=16, convs=3, share=0.3)
    done = img2img("export", here / "net.onnx", "--storage", "fp16", "-o", here / "small.onnx", "--name", "mine")
    assert done.status == 0 and "PSNR to the fp32 file, dB" in done.err and "stored with 16 bits" in done.err, done.err
    card = models.read_card(here / "small.onnx")
    assert card is not None and (card.precision, card.name) == ("fp32", "mine") and "16-bit weights" in card.metrics
    assert (here / "small.onnx").stat().st_size < (here / "net.onnx").stat().st_size
    done = img2img("export", run, "--storage", "fp16")
    assert done.status == 0 and "largest difference to the network" in done.err and "stored with" in done.err, done.err
    assert models.read_card(here / "model.onnx").metrics.keys() == {"export", "16-bit weights"}  # type: ignore[union-attr]
    done = img2img("export", here / "small.onnx", "--storage", "fp16", "-o", here / "again.onnx")
    assert done.status == 1 and "stored with 16 bits already" in done.err and not (here / "again.onnx").exists()


@pytest.mark.parametrize(
    ("args", "message"),
    [
        (["-o", "model.pth"], "use a name that ends in .onnx"),
        (["--to", "pth", "-o", "model.onnx"], "use a name that ends in .pth or .pt or .ckpt"),
        (["-o", "none/model.onnx"], "there is no folder"),
        (["--to", "pth", "--precision", "int8", "--name", "x"], "--to pth cannot be combined with --precision, --name"),
        (["--dropout", "--precision", "fp16"], "cannot be compared; omit --precision"),
        (["--dropout", "--storage", "fp16"], "cannot be compared; omit --storage"),
        (
            ["--precision", "int8", "--storage", "fp16"],
            "--storage fp16 is for fp32 files: omit it, or --precision int8",
        ),
        (["--to", "pth", "--storage", "fp16"], "--to pth cannot be combined with --storage"),
        (["--dropout"], "its network has no dropout; omit --dropout"),
        (["--norm-mode", "paper"], "srgan has no norm mode: omit --norm-mode"),
        (["--precision", "int8", "--calibrate", "nowhere"], "nowhere: there is no such folder"),
        (["--precision", "int4"], "--precision"),
    ],
)
def test_usage_errors_are_one_line_and_write_nothing(
    args: list[str], message: str, run: Path, here: Path, img2img: Callable[..., Any]
) -> None:
    done = img2img("export", run, *args)
    assert done.status == 2 and message in done.err and len(done.err.splitlines()) == 1, done.err
    assert list(here.iterdir()) == []


@pytest.mark.parametrize("precision", ["fp16", "int8"])
def test_networks_that_choose_patches_stay_in_fp32(precision: str, here: Path, img2img: Callable[..., Any]) -> None:
    photos = trials.photos(here / "photos", size=48)
    generator = {"name": "patch-copying", "options": {"size": 32, "features": 4, "downs": 2}}
    recipe: Any = methods.find("inpaint").recipe
    data = {"folders": [str(photos)], "crop": 32}
    values = {"data": data, "generator": generator, "batch": 2, "steps": 1, "validate_every": 1}
    values["adversarial"] = {"weight": 0.0}
    trials.train_to_end(
        methods.find("inpaint"), recipe.parse(recipe.with_defaults(values), where="test"), here / "mine"
    )
    done = img2img("export", "mine", "-p", precision, "--calibrate", "photos", "-o", "out.onnx")
    assert done.status == 2 and "chooses patches by sums that need 32 bits: export it as fp32" in done.err
    assert len(done.err.splitlines()) == 1 and not (here / "out.onnx").exists()


def test_a_loop_is_found_without_help_of_the_card(img2img: Callable[..., Any], here: Path) -> None:
    model = onnx.load(models.bundled_folder() / "inpaint.onnx")
    del model.metadata_props[:]
    onnx.save(model, here / "bare.onnx")
    done = img2img("export", "bare.onnx", "-p", "fp16")
    assert done.status == 2 and "bare chooses patches by sums that need 32 bits" in done.err


@pytest.mark.parametrize(
    ("source", "args", "message"),
    [
        ("net.onnx", [], "is a model file already; convert it with --precision int8 or fp16"),
        ("net.onnx", ["-p", "int8"], "int8 needs pictures like those that the model is for: --calibrate FOLDER"),
        (
            "net.onnx",
            ["-p", "fp16", "--norm-mode", "paper", "--dropout"],
            "cannot be combined with --norm-mode, --dropout",
        ),
        ("net.onnx", ["--to", "pth"], "cannot be combined with --to"),
        ("bare.onnx", ["-p", "fp16"], "bare.onnx: has no card"),
        ("nothing.onnx", ["-p", "fp16"], "nothing.onnx"),
        ("mine.onnx", ["-p", "fp16"], "mine chooses patches by sums that need 32 bits: export it as fp32"),
        ("mine.onnx", ["-p", "int8"], "mine chooses patches by sums that need 32 bits: export it as fp32"),
        ("some/run", [], "some/run: neither a run folder nor a checkpoint"),
        ("net.pth", [], "net.pth"),
    ],
)
def test_unsuitable_sources_are_refused(
    source: str, args: list[str], message: str, here: Path, img2img: Callable[..., Any]
) -> None:
    onnx_nets.compact(here / "net.onnx")
    onnx_nets.compact(here / "bare.onnx", with_card=False)
    onnx_nets.filler(here / "mine.onnx", resizes=True)
    (here / "net.pth").write_bytes(b"x")
    before = sorted(here.iterdir())
    done = img2img("export", source, *args, "-o", "model.pth" if "--to" in args else "model.onnx")
    assert done.status == 2 and message in done.err and len(done.err.splitlines()) == 1, done.err
    assert sorted(here.iterdir()) == before
