"""From photos to a model to an upscaled photo.

The first training, the use of its model and a smoke test go through the installed command. The others call the command
line in this process, because importing torch takes seconds.
"""

import json
import shutil
import subprocess
import sys
import tomllib
from contextlib import redirect_stderr, redirect_stdout
from pathlib import Path
from typing import Any

import jsonschema
import numpy as np
import pytest
import trials
from conftest import Stream
from PIL import Image

from img2img.cli import main
from img2img.cli import train as command
from img2img.runtime.network import session
from img2img.training.loop import Outcome

TINY = ["--set", "generator.options.features=8", "--set", "generator.options.convs=1", "--set", "batch=2"]


def installed(*args: str | Path) -> "subprocess.CompletedProcess[str]":
    command = [sys.executable, "-m", "img2img", *map(str, args)]
    return subprocess.run(command, capture_output=True, text=True, timeout=200, check=False)


def img2img(*args: str | Path) -> "subprocess.CompletedProcess[str]":
    out, err = Stream(), Stream()
    with redirect_stdout(out), redirect_stderr(err):
        status = main([str(arg) for arg in args])
    return subprocess.CompletedProcess(args, status, out.bytes().decode(), err.bytes().decode())


@pytest.fixture(scope="module")
def photos(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("photos")
    rng = np.random.default_rng(0)
    for i in range(3):
        small = Image.fromarray(rng.integers(0, 256, (8, 9, 3), dtype=np.uint8))
        small.resize((72, 64), Image.Resampling.BICUBIC).save(folder / f"{i}.jpg")
    return folder


@pytest.fixture(scope="module")
def run(photos: Path, tmp_path_factory: pytest.TempPathFactory) -> "tuple[Path, subprocess.CompletedProcess[str]]":
    out = tmp_path_factory.mktemp("runs") / "mine"
    args = ["train", "esrgan", "--data", photos, "--out", out, "--steps", "4", "--scale", "2", "--device", "cpu"]
    return out, installed(*args, *TINY, "--set", "data.crop=32", "--set", "validate_every=2")


def test_training_ends_with_a_model_and_the_command_to_use_it(
    run: "tuple[Path, subprocess.CompletedProcess[str]]", photos: Path, tmp_path: Path
) -> None:
    out, done = run
    assert done.returncode == 0, done.stderr
    assert done.stdout == ""
    assert (out / "config.toml").read_text().startswith("#:schema ./config.schema.json\n")
    jsonschema.validate(
        tomllib.loads((out / "config.toml").read_text()), json.loads((out / "config.schema.json").read_text())
    )
    assert "2 training photos" in done.stderr and "psnr_y" in done.stderr
    assert f"img2img upscale PHOTO --model {out / 'model.onnx'}" in done.stderr
    used = installed("upscale", photos / "0.jpg", "--model", out / "model.onnx", "-o", tmp_path / "big.png")
    assert used.returncode == 0, used.stderr
    assert Image.open(tmp_path / "big.png").size == (144, 128)


def test_the_same_command_on_a_finished_run_succeeds(
    run: "tuple[Path, subprocess.CompletedProcess[str]]",
) -> None:
    out, _ = run
    again = img2img("train", "esrgan", "--out", out, "--resume", "--device", "cpu")
    assert again.returncode == 0, again.stderr
    assert "this run is finished: all 4 steps are done" in again.stderr and "continuing" not in again.stderr
    same = img2img("train", "esrgan", "--out", out, "--config", out / "config.toml", "--device", "cpu")
    assert "this run is finished" in same.stderr and "starting anew" not in same.stderr


def test_another_method_a_moved_folder_and_a_file_are_told_apart(
    run: "tuple[Path, subprocess.CompletedProcess[str]]", photos: Path, tmp_path: Path
) -> None:
    out = Path(shutil.copytree(run[0], tmp_path / "run"))
    other = img2img("train", "inpaint", "--data", photos, "--out", out)
    assert other.returncode == 2 and f"{out} holds a run of esrgan, not of inpaint" in other.stderr
    settings = out / "config.toml"
    settings.write_text(settings.read_text().replace(str(photos), str(tmp_path / "gone")))
    gone = img2img("train", "esrgan", "--out", out, "--steps", "5", "--device", "cpu")
    assert gone.returncode == 2 and "gone: no such folder" in gone.stderr and "with --data" in gone.stderr
    found = img2img("train", "esrgan", "--out", out, "--steps", "5", "--data", photos, "--device", "cpu")
    assert found.returncode == 0 and "continuing after step 4 of 5" in found.stderr, found.stderr
    (tmp_path / "file").touch()
    file = img2img("train", "esrgan", "--data", photos, "--out", tmp_path / "file")
    assert file.returncode == 2 and "this is a file; name a folder with --out" in file.stderr


def test_settings_of_a_run_without_a_checkpoint_are_not_used_again(
    run: "tuple[Path, subprocess.CompletedProcess[str]]", photos: Path, tmp_path: Path
) -> None:
    out = tmp_path / "run"
    out.mkdir()
    (out / "config.toml").write_text((run[0] / "config.toml").read_text().replace("batch = 2", "batch = 3"))
    words = ["train", "esrgan", "--data", photos, "--out", out, "--device", "cpu", "--threads", "99999"]
    refused = installed(*words, "--resume")
    assert refused.returncode == 2 and "holds no run with a checkpoint; omit --resume" in refused.stderr
    done = installed(*words, "--steps", "1", *TINY, "--set", "data.crop=32")
    assert done.returncode == 0, done.stderr
    assert "starting anew, with the settings of this command" in done.stderr
    assert "--threads 99999: using" in done.stderr
    assert tomllib.loads((out / "config.toml").read_text())["batch"] == 2


@pytest.mark.parametrize(
    ("setting", "message"),
    [
        ("features=0", "has a layer without channels"),
        ("features=-1", "features = -1 must be from 0 to 16384"),
        ("features=1.5", "features = 1.5 must be a whole number"),
        ("features=wide", "features = wide must be a whole number"),
    ],
)
def test_options_that_no_network_can_have_are_refused(setting: str, message: str, photos: Path, tmp_path: Path) -> None:
    words = ["--data", photos, "--out", tmp_path / "run", "--set", "data.crop=32"]
    done = img2img("train", "esrgan", *words, "--set", f"generator.options.{setting}")
    assert done.returncode == 2 and message in done.stderr and len(done.stderr.splitlines()) == 1


def test_evaluate_prints_a_table_and_json(run: "tuple[Path, subprocess.CompletedProcess[str]]", photos: Path) -> None:
    model = run[0] / "model.onnx"
    table = img2img("evaluate", model, "--data", photos)
    assert table.returncode == 0, table.stderr
    assert [line.split()[0] for line in table.stdout.splitlines()] == ["picture", "0", "1", "2", "mean"]
    lines = [json.loads(line) for line in img2img("evaluate", model, "--data", photos, "--json").stdout.splitlines()]
    assert lines[-1]["picture"] == "mean"
    assert lines[-1]["psnr_y"] == pytest.approx(np.mean([line["psnr_y"] for line in lines[:-1]]))


def test_evaluate_can_record_its_figures_in_the_card(
    run: "tuple[Path, subprocess.CompletedProcess[str]]", photos: Path, tmp_path: Path
) -> None:
    model = tmp_path / "model.onnx"
    model.write_bytes((run[0] / "model.onnx").read_bytes())
    done = img2img("evaluate", model, "--data", photos, "--record")
    assert done.returncode == 0, done.stderr
    metrics = session.load(model).card.metrics
    ((data, figures),) = ((name, group) for name, group in metrics.items() if name != "export")
    assert data.endswith(photos.name) and str(figures["command"]).startswith("img2img evaluate")
    assert f"{figures['psnr_y']:.2f}" in done.stdout.splitlines()[-1]


@pytest.mark.parametrize(
    ("args", "message"),
    [
        (["nonsense", "--data", "."], "unknown method 'nonsense'; choose from pix2pix, bicyclegan"),
        (["esrgan"], "name a folder of pictures with --data"),
        (["esrgan", "--data", "missing"], "no such folder"),
        (["esrgan", "--data", ".", "--set", "stpes=3"], "did you mean 'steps'"),
        (["esrgan", "--data", ".", "--resume"], "holds no run"),
    ],
)
def test_usage_errors_are_one_line_with_status_2(
    args: list[str], message: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    done = img2img("train", *args)
    assert done.returncode == 2
    assert message in done.stderr
    assert len(done.stderr.strip().splitlines()) == 1
    assert list(tmp_path.iterdir()) == []


def test_show_config_explains_every_setting() -> None:
    shown = img2img("train", "esrgan", "--show-config").stdout
    assert "optimiser.rate = 0.001\n    peak learning rate\n" in shown
    assert "data.crop = 144" in shown


def test_show_config_prints_the_values_that_a_run_would_use(tmp_path: Path) -> None:
    settings = tmp_path / "mine.toml"
    settings.write_text("[optimiser]\nrate = 3e-4\n\n[discriminator]\nname = 'multi-scale'\n")
    args = ["--config", settings, "--steps", "7", "--set", "generator.name=resnet", "--set", "data.crop=64"]
    shown = img2img("train", "pix2pix", *args, "--show-config").stdout.splitlines()
    for line in (
        "generator.name = resnet",
        "discriminator.name = multi-scale",
        "adversarial.name = non-saturating",
        "adversarial.penalty = none",
        "optimiser.rate = 0.0003",
        "optimiser.betas = [0.5, 0.999]",
        "objectives = {l1 = 100.0}",
        "conditional = true",
        "steps = 7",
        "data.crop = 64",
        "data.folders = required",
    ):
        assert line in shown, line
    wrong = img2img("train", "pix2pix", "--show-config", "--set", "generator.nam=unet")
    assert (wrong.returncode, wrong.stdout) == (2, "") and "did you mean 'name'?" in wrong.stderr


def test_smoke_tests_everything_and_keeps_nothing(photos: Path, tmp_path: Path) -> None:
    words = ["--data", photos, "--smoke", "--device", "cpu", *TINY, "--set", "data.crop=32"]
    command = [sys.executable, "-m", "img2img", "train", "esrgan", *words]
    done = subprocess.run(command, capture_output=True, text=True, cwd=tmp_path, check=False)
    assert done.returncode == 0, done.stderr
    assert "it works: data, 3 steps, validation and export of 1 model; " in done.stderr
    assert "all 20000 steps will take about" in done.stderr
    assert list(tmp_path.iterdir()) == []


def test_smoke_validates_on_two_pictures_and_measures_no_context(
    photos: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    seen: dict[str, Any] = {}

    def run(method: Any, config: Any, folder: Path, listener: Any, **options: Any) -> Outcome:
        seen.update(options, pictures=config.validate_pictures, crop=config.data.crop)
        listener.started(0, config.steps)
        listener.stepped(1, {})
        return Outcome(1, config.steps, {})

    monkeypatch.setattr("img2img.training.loop.train", run)
    monkeypatch.chdir(tmp_path)
    command.train("esrgan", data=[photos], smoke=True)
    assert (seen["pictures"], seen["crop"]) == (2, 144), "the crop is that of the real run"
    assert seen["max_steps"] == 3 and seen["max_minutes"] < 1 and not seen["measure_context"]


def test_the_adversarial_stage_starts_from_the_fidelity_run_with_its_network(
    run: "tuple[Path, subprocess.CompletedProcess[str]]", photos: Path, tmp_path: Path
) -> None:
    small = ["discriminator.name=patchgan", "discriminator.options={features=4, layers=1, norm='none'}"]
    small += ["perceptual.weight=0", "matching.weight=0.1", "data.crop=32", "batch=2"]
    settings = [word for one in small for word in ("--set", one)]
    args = ["--data", photos, "--stage", "adversarial", "--start", run[0], "--steps", "1", "--device", "cpu"]
    done = img2img("train", "esrgan", *args, *settings, "--out", tmp_path / "run")
    assert done.returncode == 0, done.stderr
    assert f"generator starts from {run[0]}" in done.stderr
    assert "relativistic-average" in (tmp_path / "run" / "config.toml").read_text()
    assert "features = 8" in (tmp_path / "run" / "config.toml").read_text()


def test_settings_of_one_stage_are_refused_for_the_other(
    run: "tuple[Path, subprocess.CompletedProcess[str]]", photos: Path, tmp_path: Path
) -> None:
    done = img2img("train", "esrgan", "--config", run[0] / "config.toml", "--stage", "adversarial", "--out", tmp_path)
    assert done.returncode == 2
    assert "these are settings of the fidelity stage, not of the adversarial stage" in done.stderr


def test_show_config_shows_the_requested_stage() -> None:
    assert "adversarial.name" not in img2img("train", "esrgan", "--show-config").stdout
    assert "adversarial" in img2img("train", "esrgan", "--show-config", "--stage", "adversarial").stdout


def test_schema_prints_the_json_schema_of_the_requested_stage() -> None:
    schema = json.loads(img2img("train", "esrgan", "--schema").stdout)
    assert schema["$schema"] == "http://json-schema.org/draft-07/schema#"
    assert schema["title"] == "Settings of img2img train esrgan, fidelity"
    rate = schema["properties"]["optimiser"]["properties"]["rate"]
    assert (rate["default"], rate["type"], bool(rate["description"])) == (1e-3, "number", True)
    assert "adversarial" not in schema["properties"]
    adversarial = json.loads(img2img("train", "esrgan", "--schema", "--stage", "adversarial").stdout)
    assert adversarial["properties"]["adversarial"]["properties"]["name"]["default"] == "relativistic-average"


@pytest.mark.skipif(shutil.which("g++") is None, reason="torch.compile needs a C++ compiler")
def test_compiled_networks_train_even_if_the_discriminator_cannot_be_compiled(tmp_path: Path) -> None:
    pairs = trials.paired(tmp_path / "pairs", 4)
    words = ["generator.options={features=4, downs=2, norm='none', dropout=false}", "adversarial.name=wgan-gp"]
    words += ["discriminator.options={features=4, layers=1, norm='none'}", "data.load=36", "data.crop=32"]
    settings = [word for one in [*words, "compile=true"] for word in ("--set", one)]
    done = installed("train", "pix2pix", "--data", pairs, "--smoke", "--device", "cpu", *settings)
    assert done.returncode == 0, done.stderr
