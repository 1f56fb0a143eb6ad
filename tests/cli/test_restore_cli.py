"""`img2img restore` as a person meets it, and `img2img evaluate` for models of scale 1."""

import json
from collections.abc import Callable
from pathlib import Path

import numpy as np
import onnx_nets
import pytest
import trials
from conftest import Outcome, files
from PIL import Image

import img2img as package

Run = Callable[..., Outcome]
Photo = Callable[..., Path]

pytestmark = pytest.mark.usefixtures("models", "here")


@pytest.fixture
def model(models: Path) -> Path:
    """A model of scale 1 for even sides, installed as `restore`."""
    path = models / "restore.onnx"
    onnx_nets.compact(path, scale=1, multiple=2, name="restore", share=0.02)
    yield path
    path.unlink()


@pytest.mark.usefixtures("model")
def test_a_photo_keeps_its_size_and_gets_the_name_of_the_model(img2img: Run, photo: Photo, here: Path) -> None:
    photo(here / "a.png", (13, 7))
    assert img2img("restore", "a.png") == Outcome(0, b"", "")
    assert files(here) == ["a.png", "a_restore.png"]
    result, before = (np.asarray(Image.open(here / name)) for name in ("a_restore.png", "a.png"))
    assert result.shape == before.shape and not np.array_equal(result, before)


@pytest.mark.usefixtures("model")
def test_it_equals_upscaling_with_the_same_model(img2img: Run, photo: Photo, here: Path) -> None:
    photo(here / "a.png", (12, 8))
    assert img2img("restore", "a.png", "-o", "one.png").status == 0
    assert img2img("upscale", "a.png", "-m", "restore", "-o", "two.png").status == 0
    (event,) = package.batch("a.png", task="restore", output="three.png")
    assert event.status == "done"
    assert (here / "one.png").read_bytes() == (here / "two.png").read_bytes() == (here / "three.png").read_bytes()


def test_an_unknown_model_is_refused(img2img: Run, photo: Photo, here: Path) -> None:
    photo(here / "a.png")
    done = img2img("restore", "a.png", "-m", "nothing")
    assert done.status == 2 and "nothing" in done.err and files(here) == ["a.png"]


def test_the_message_about_a_model_for_another_task_names_this_one(img2img: Run, photo: Photo, here: Path) -> None:
    photo(here / "a.png")
    onnx_nets.filler(here / "filler.onnx")
    done = img2img("restore", "a.png", "-m", "filler.onnx")
    assert done.status == 2 and "this model is for 'inpaint', not for restoring: img2img inpaint takes it" in done.err


def test_a_model_that_enlarges_is_refused(img2img: Run, photo: Photo, here: Path) -> None:
    photo(here / "a.png")
    done = img2img("restore", "a.png", "-m", "upscale-x4")
    assert done.status == 2 and "upscale-x4 enlarges 4 times: img2img upscale takes it" in done.err


@pytest.mark.usefixtures("model")
def test_budgets_and_scales_choose_only_models_that_enlarge(img2img: Run, photo: Photo, here: Path) -> None:
    from img2img.runtime.network import models as found

    assert not any(path.stem == "restore" for path in found.candidates("upscale", 1))


def test_a_model_is_evaluated_for_every_fault(img2img: Run, model: Path, here: Path) -> None:
    trials.photos(here / "photos", count=2)
    table = img2img("evaluate", "restore", "--data", "photos")
    assert table.status == 0
    assert table.out.decode().split("\n")[-4].split() == [
        *("mean", "psnr_y", "psnr_y_jpeg10", "psnr_y_jpeg20", "psnr_y_noise15", "psnr_y_jpeg40", "psnr_y_jpeg95")
    ]
    done = img2img("evaluate", "restore", "--data", "photos", "--json", "--record", "--sheet", "sheet.png")
    *cases, mean = map(json.loads, done.out.splitlines())
    assert len(cases) == 2 and mean["input"]["psnr_y_jpeg95"] > mean["input"]["psnr_y_jpeg10"]
    assert (here / "sheet.png").exists()
    from img2img.runtime.network.models import read_card

    (recorded,) = read_card(model).metrics.values()
    assert {"psnr_y_jpeg10", "psnr_y_jpeg10 (input)", "psnr_y (input)"} <= set(recorded)


@pytest.mark.usefixtures("model")
def test_own_pairs_are_compared_with_the_input(img2img: Run, here: Path) -> None:
    trials.photos(here / "photos", count=1)
    photo = Image.open(here / "photos" / "0.png")
    (here / "pairs").mkdir()
    photo.save(here / "pairs" / "a_HR.png")
    photo.point(lambda value: value // 2).save(here / "pairs" / "a_LR.png")
    done = img2img("evaluate", "restore", "--data", "pairs", "--json")
    case = json.loads(done.out.splitlines()[0])
    assert set(case["input"]) == {"psnr_y", "ssim_y"} and case["input"]["psnr_y"] < 20
