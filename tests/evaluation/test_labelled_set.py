"""A labelled set of results, and what a classifier gains from it."""

import json
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import onnx_nets
import pytest
from PIL import Image

from img2img.evaluation import domain_classifier, labelled_set, styles
from img2img.evaluation.domain_classifier import SIDE

NAMES = ("dark", "light")


@pytest.fixture(scope="module", autouse=True)
def _small_batches() -> Iterator[None]:
    """Small batches are enough to tell light from dark."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(domain_classifier, "BATCH", 8)
        yield


def noise(seed: int, low: int) -> np.ndarray:
    return np.random.default_rng(seed).integers(low, low + 40, (16, 16, 3), np.uint8)


@pytest.fixture(scope="module")
def drawings(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Training drawings are very dark or very light. Among those to measure, the light ones are only half light."""
    top = tmp_path_factory.mktemp("drawings")
    for part, lights in (("train", 215), ("test", 70)):
        for name, low in zip(NAMES, (0, lights), strict=True):
            (top / part / name).mkdir(parents=True)
            for number in range(12):
                Image.fromarray(noise(number, low)).save(top / part / name / f"{part}{number}.png")
    return top


@pytest.fixture(scope="module")
def data(drawings: Path) -> styles.Styles:
    return styles.styles([drawings / "test"], NAMES, train=[drawings / "train"])


def half_light(picture: np.ndarray, to: str) -> list[np.ndarray]:
    """A model that knows half light pictures."""
    low = 70 if to == "light" else 0
    return [
        np.random.default_rng(int(picture.sum()) + k).integers(low, low + 40, (16, 16, 3), np.uint8) for k in (0, 1)
    ]


def test_results_get_the_style_that_they_were_translated_to(data: styles.Styles) -> None:
    seen: list[tuple[bool, str]] = []

    def translate(picture: np.ndarray, to: str) -> list[np.ndarray]:
        seen.append((bool(picture.mean() > 100), to))
        return half_light(picture, to)

    made = labelled_set.make(translate, data)
    assert [len(one) for one in made] == [24, 24]  # two samples of as many drawings as there are real ones
    assert all(one.mean() < 60 for one in made[0]) and all(one.mean() > 60 for one in made[1])
    assert made[0][0].shape == (SIDE, SIDE, 3)
    assert seen == [(True, "dark")] * 12 + [(False, "light")] * 12  # the source has the other style


def test_a_classifier_gains_from_results_that_show_what_real_pictures_lack(data: styles.Styles) -> None:
    training = [data.training[name] for name in NAMES]
    without = styles.real_accuracy(domain_classifier.train(training, steps=40), data)
    trained = labelled_set.train(data, labelled_set.make(half_light, data), steps=40)
    assert without <= 0.75 and styles.real_accuracy(trained, data) > without + 0.2


def test_without_results_it_is_the_same_classifier(data: styles.Styles) -> None:
    training = [data.training[name] for name in NAMES]
    first = domain_classifier.train(training, steps=3)
    second = labelled_set.train(data, [[], []], steps=3)
    picture = noise(1, 100)
    assert np.array_equal(first.features([picture]), second.features([picture]))


def test_evaluate_reports_the_gain_of_each_model(img2img: Callable[..., Any], drawings: Path, tmp_path: Path) -> None:
    """One model adds light grey to the half of the picture, the other one confuses the styles."""
    good = onnx_nets.domains(tmp_path / "good.onnx", {"dark": (0.0, 0.0, 0.0), "light": (0.7, 0.7, 0.7)})
    bad = onnx_nets.domains(tmp_path / "bad.onnx", {"dark": (0.7, 0.7, 0.7), "light": (0.0, 0.0, 0.0)})
    args = ("evaluate", good, "--data", drawings / "test", "--train", drawings / "train", "--against", bad)
    done = img2img(*args, "--classifier-gain", "--classifier-steps", 40, "--json", "--device", "cpu")
    assert done.status == 0, done.err
    last = json.loads(done.out.splitlines()[-1])
    assert last["gain"] == pytest.approx(last["recognised_with_results"] - last["recognised_real"], abs=1e-4)
    assert last["bad"]["gain"] < last["gain"]
    assert "training a classifier on the real drawings and 24 results of good" in done.err
    without = img2img(*args, "--classifier-steps", 5, "--json", "--device", "cpu")
    assert "gain" not in json.loads(without.out.splitlines()[-1])


def test_the_gain_needs_domains_and_training_drawings(
    img2img: Callable[..., Any], drawings: Path, tmp_path: Path
) -> None:
    plain = onnx_nets.pointwise(tmp_path / "plain.onnx", task="translate")
    assert "for models with domains" in img2img("evaluate", plain, "--data", drawings, "--classifier-gain").err
    model = onnx_nets.domains(tmp_path / "tint.onnx", {"dark": (0.0, 0.0, 0.0), "light": (0.7, 0.7, 0.7)})
    done = img2img("evaluate", model, "--data", drawings / "test", "--classifier-gain", "--device", "cpu")
    assert done.status == 2 and "use --held-out or --train FOLDER" in done.err and not done.out
