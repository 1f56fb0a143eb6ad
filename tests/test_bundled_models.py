"""What ships: every bundled model is complete, small, documented, and better than bicubic on photos it has not seen."""

import json
from pathlib import Path

import numpy as np
import pytest
from shared_data import shared

from img2img.data.bicubic import imresize
from img2img.data.folders import read_rgb
from img2img.evaluation import colorization
from img2img.evaluation import super_resolution as sr
from img2img.evaluation.results import value
from img2img.runtime.image.pictures import Picture
from img2img.runtime.network import models, session, tiling, verify
from img2img.runtime.network.card import fits, json_schema
from img2img.runtime.tasks.translate import translate

ROOT = Path(__file__).parents[1]
BUNDLED = sorted((ROOT / "weights").glob("*.onnx"))
UPSCALERS = [path for path in BUNDLED if path.stem.startswith("upscale-")]
FAITHFUL = [path for path in UPSCALERS if not path.stem.startswith("upscale-x4-real")]
LARGEST = {  # parameters
    "upscale-x4-fast": 75_000,
    "upscale-x4-best": 1_600_000,
    "upscale-x4-real": 1_300_000,
    "restore": 500_000,
    "inpaint": 5_000_000,
    "colorize": 3_000_000,
    "emoji-styles": 5_000_000,
}


def test_the_default_models_are_there() -> None:
    assert {path.stem for path in BUNDLED} >= {"upscale-x2", "upscale-x4"}
    assert sum(path.stat().st_size for path in BUNDLED) < 30e6


@pytest.mark.parametrize("path", BUNDLED, ids=lambda path: path.stem)
def test_a_bundled_model_says_everything_about_itself(path: Path) -> None:
    card = session.load(path).card
    assert card.name == path.stem.removesuffix(".int8")
    assert card.licence and card.trained_on and card.created_with
    assert card.context is not None or card.task != "upscale"
    assert all("command" in figures for figures in card.metrics.values()) and len(card.metrics) >= 2
    assert card.name in (ROOT / "weights" / "README.md").read_text()
    assert models.find(path.stem) == path


@pytest.mark.parametrize("path", UPSCALERS, ids=lambda path: path.stem)
def test_a_bundled_upscaler_says_which_photos_it_is_for(path: Path) -> None:
    card = models.read_card(path)
    assert card is not None and card.input_quality == ("clean" if path in FAITHFUL else "degraded")


@pytest.mark.parametrize("path", BUNDLED, ids=lambda path: path.stem)
def test_a_bundled_model_passes_every_check(path: Path) -> None:
    checks = verify.verify(path, device="cpu")
    assert [(one.name, one.status) for one in checks] == [
        (name, "ok") for name in ("file", "card", "origin", "weights", "digest", "load", "interface", "self-test")
    ]
    card = models.read_card(path)
    assert card is not None and fits(json.loads(card.to_json()), json_schema())


@pytest.mark.parametrize("path", BUNDLED, ids=lambda path: path.stem)
def test_a_bundled_model_is_small_enough_for_a_cpu(path: Path) -> None:
    card = session.load(path).card
    assert 0 < card.parameters <= LARGEST.get(card.name, 250_000)
    assert path.stat().st_size < 20e6


@pytest.mark.parametrize("photo", ["olives", "cake", "sandwich"])
@pytest.mark.parametrize("path", FAITHFUL, ids=lambda path: path.stem)
def test_the_example_photos_come_out_better_than_by_bicubic(path: Path, photo: str) -> None:
    model = session.load(path)
    scale = model.card.scale
    truth = read_rgb(ROOT / "examples" / f"{photo}.jpg")
    truth = truth[: truth.shape[0] // scale * scale, : truth.shape[1] // scale * scale]
    low = imresize(truth, 1 / scale)
    result = tiling.run_tiled(model, low)
    ours, bicubic = (sr.score(picture, truth, scale) for picture in (result, imresize(low, float(scale))))
    assert ours.psnr_y > bicubic.psnr_y + 0.5
    assert ours.ssim_y > bicubic.ssim_y
    assert np.abs(result.mean((0, 1)) - truth.mean((0, 1))).max() < 1.0  # no colour cast


@pytest.mark.parametrize("photo", ["olives", "cake", "sandwich"])
def test_colours_of_the_example_photos_leave_their_luminance_alone(photo: str) -> None:
    truth = read_rgb(ROOT / "examples" / f"{photo}.jpg")
    grey = colorization.grey(truth)
    model = session.load(ROOT / "weights" / "colorize.onnx")
    result = translate(model, Picture(grey), size="fit").colour
    found = {name: value(figure) for name, figure in colorization.figures(result, grey).items()}
    assert found["luma_off"] == 0
    assert value(colorization.figures(result, truth)["chroma_ratio"]) > 0.15  # in colour
    other = translate(model, Picture(truth), size="fit").colour  # of a colour photo, only the luminance counts
    assert np.abs(other.astype(int) - result).mean() < 1


@pytest.mark.parametrize("path", FAITHFUL, ids=lambda path: path.stem)
def test_the_figures_in_the_card_are_true(path: Path) -> None:
    model = session.load(path)
    figures = model.card.metrics[f"Set5/x{model.card.scale}"]
    folder = shared(f"data/sr_benchmark/Set5/x{model.card.scale}")
    measured = sr.mean(
        [ours for _, _, ours in sr.evaluate(lambda low: tiling.run_tiled(model, low), folder, model.card.scale)]
    )
    assert measured.psnr_y == pytest.approx(float(figures["psnr_y"]), abs=0.01)
    assert measured.ssim_y == pytest.approx(float(figures["ssim_y"]), abs=0.001)


@pytest.mark.parametrize("value", [0, 128, 255])
@pytest.mark.parametrize("path", UPSCALERS, ids=lambda path: path.stem)
def test_flat_grey_stays_flat_grey(path: Path, value: int) -> None:
    model = session.load(path)
    result = tiling.run_tiled(model, np.full((48, 48, 3), value, np.uint8)).astype(int)
    border, inside = model.card.scale, (model.card.context or 0) * model.card.scale
    assert np.abs(result[inside:-inside, inside:-inside] - value).max() <= 1
    # A network that pads with zeros sees black around the picture.
    assert np.abs(result[border:-border, border:-border] - value).max() <= 6
