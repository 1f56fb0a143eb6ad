"""Figures of coloured photos against the colours that they had, and how `evaluate` reports them."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import onnx_nets
import pytest
import trials
from PIL import Image

from img2img.evaluation import colorization
from img2img.evaluation.results import value
from img2img.runtime.network import session


@pytest.fixture(scope="module")
def photos(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return trials.photos(tmp_path_factory.mktemp("photos"), count=60, size=32)


def test_figures_by_hand() -> None:
    truth = np.empty((4, 4, 3), np.uint8)
    truth[:] = (200, 100, 50)
    luma = 0.299 * 200 + 0.587 * 100 + 0.114 * 50
    grey = colorization.grey(truth)
    assert np.array_equal(grey, np.full((4, 4, 3), round(luma), np.uint8))
    found = {name: value(figure) for name, figure in colorization.figures(grey, truth).items()}
    expected = (abs(50 - luma) / 1.772 + (200 - luma) / 1.402) / 2 / 255
    assert found["chroma_l1"] == pytest.approx(expected, rel=1e-3)
    assert found["chroma_ratio"] == pytest.approx(0, abs=1e-5) and found["luma_off"] == 0
    half = np.rint(luma + (truth - luma) / 2).astype(np.uint8)
    assert value(colorization.figures(half, truth)["chroma_ratio"]) == pytest.approx(0.5, abs=0.01)
    assert value(colorization.figures(truth + np.uint8(3), truth)["luma_off"]) == 1
    assert value(colorization.figures(truth, truth)["psnr"]) == 100


def test_other_hues_keep_luminance_and_chroma_but_not_the_hue() -> None:
    picture = np.random.default_rng(0).integers(100, 156, (20, 20, 3), np.uint8)
    turned = colorization.other_hues(picture, "name")
    found = {name: value(figure) for name, figure in colorization.figures(turned, picture).items()}
    assert found["chroma_ratio"] == pytest.approx(1, abs=0.02) and found["luma_off"] < 0.05
    assert found["chroma_l1"] > 0.02
    assert np.array_equal(turned, colorization.other_hues(picture, "name"))


def test_the_held_out_photos_are_those_of_a_training(photos: Path) -> None:
    data = colorization.photos([photos], held_out=True)
    assert len(data.measured) == 3 and len(data.training) == 57
    assert data.measured == sorted(photos.iterdir())[-3:]
    everything = colorization.photos([photos], train=[photos])
    assert len(everything.measured) == 60 and everything.training == []
    assert len(colorization.photos([photos], count=7).measured) == 7


def test_distances_of_sets_know_likely_hues_from_unlikely_ones(photos: Path, tmp_path: Path) -> None:
    """All photos are blue above and orange below. A classifier that has seen them prefers these colours."""
    for number in range(40):
        rng = np.random.default_rng(number)
        light = np.asarray(Image.fromarray(rng.integers(0, 60, (5, 5), np.uint8)).resize((32, 32)))[..., None]
        picture = np.where(np.arange(32)[:, None, None] < 16, (60, 90, 180), (190, 110, 40)) + light
        Image.fromarray(picture.astype(np.uint8)).save(tmp_path / f"{number}.png")
    data = colorization.photos([tmp_path], held_out=True)
    data = colorization.ColourPhotos(data.training[:10], data.training[10:], data.about)
    classifier = colorization.train_classifier(data.training, steps=40)

    def right(picture: np.ndarray, to: str) -> list[np.ndarray]:
        change = np.where(np.arange(32)[:, None, None] < 16, (-33, -3, 87), (62, -18, -88))
        return [(picture + change * 0.9).clip(0, 255).astype(np.uint8)]

    def wrong(picture: np.ndarray, to: str) -> list[np.ndarray]:
        return [right(picture, to)[0][..., ::-1]]

    comparison = colorization.Comparison({"right": right, "wrong": wrong}, data, classifier)
    assert len(list(comparison.cases())) == 10
    found = {name: figures["kid_own"] for name, figures in comparison.set_figures().items()}
    assert found["right"] < found["wrong"] and found["right"] < found["copy"]


def test_a_model_that_colours_is_measured_on_photos(img2img: Callable[..., Any], photos: Path, tmp_path: Path) -> None:
    model = onnx_nets.pointwise(tmp_path / "tint.onnx", "Sqrt", task="translate", input="grey")
    args = ("evaluate", model, "--data", photos, "--held-out", "--classifier-steps", 5, "--device", "cpu")
    done = img2img(*args, "--record", "--sheet", tmp_path / "sheet.png")
    assert done.status == 0, done.err
    assert done.out.decode().splitlines()[0].split() == ["picture", "copy", "tint"]
    assert "tint is better than copy in" in done.err and "of 3 (chroma_l1)" in done.err
    ((name, found),) = session.load(model).card.metrics.items()
    assert name.endswith("held out") and found["cases"] == 3
    assert {"chroma_l1", "chroma_ratio", "kid_own", "kid_own_error", "kid_own (copy)", "chroma_l1 (copy)"} <= set(found)
    assert found["chroma_ratio"] == 0 and found["luma_off"] == 1  # the square root of grey is grey, and lighter
    *rows, last = [json.loads(line) for line in img2img(*args, "--json").out.splitlines()]
    assert len(rows) == 3 and last["copy"]["chroma_ratio"] == pytest.approx(0, abs=1e-5)
    assert last["chroma_l1"] == pytest.approx(last["copy"]["chroma_l1"], rel=1e-4)


def test_without_training_photos_there_is_no_kid(img2img: Callable[..., Any], photos: Path, tmp_path: Path) -> None:
    model = onnx_nets.pointwise(tmp_path / "tint.onnx", task="translate", input="grey")
    done = img2img("evaluate", model, "--data", photos, "--count", 3, "--json", "--device", "cpu")
    assert "no training photos: skipping KID (use --held-out or --train FOLDER)" in done.err
    assert "kid_own" not in json.loads(done.out.splitlines()[-1])
