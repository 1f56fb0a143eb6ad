"""Several results for one picture, and how `evaluate --samples` reports them."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import onnx_nets
import pytest
from PIL import Image

from img2img.evaluation import samples, translation
from img2img.evaluation.results import Ratio, value
from img2img.runtime.network import session
from img2img.runtime.tasks import latents


def flat(grey: int) -> np.ndarray:
    return np.full((16, 16, 3), grey, np.uint8)


@pytest.fixture(scope="module")
def pairs(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Pairs of a grey picture and a lighter one."""
    folder = tmp_path_factory.mktemp("pairs")
    for number in range(24):
        sides = [np.full((16, 16, 3), grey, np.uint8) for grey in (80 + number, 60 + number // 2)]
        Image.fromarray(np.concatenate(sides, axis=1)).save(folder / f"{number}.png")
    return folder


def test_best_mean_and_distance_by_hand() -> None:
    truth = flat(100)
    made = [flat(90), flat(130), flat(102)]
    found = samples.figures(made, lambda one: translation.figures(one, truth))
    assert value(found["l1"]) == pytest.approx((10 + 30 + 2) / 3 / 255)
    assert value(found["l1_best"]) == pytest.approx(2 / 255)
    assert value(found["psnr_best"]) == pytest.approx(20 * np.log10(255 / 2))
    assert value(found["samples_apart"]) == pytest.approx((40 + 12 + 28) / 3 / 255)
    assert "sharpness_best" not in found and "sharpness" in found


def test_ratios_of_samples_stay_ratios() -> None:
    parts = iter([Ratio(1, 2), Ratio(3, 6)])
    assert samples.figures([flat(0), flat(1)], lambda one: {"sharpness": next(parts)})["sharpness"] == Ratio(4, 8)


def test_one_sample_has_its_own_figures_only() -> None:
    assert samples.figures([flat(0)], lambda one: {"l1": 0.25}) == {"l1": 0.25}


def test_a_sheet_shows_the_first_samples() -> None:
    made = [flat(grey) for grey in range(9)]
    assert list(samples.shown({"a": made, "b": made[:1]})) == ["a", "a 2", "a 3", "a 4", "b"]


def test_a_model_with_a_latent_code_is_measured_with_several_samples(
    img2img: Callable[..., Any], pairs: Path, tmp_path: Path
) -> None:
    """The model computes image / 2 + latent / 10, with one value for each channel."""
    model = onnx_nets.styled(tmp_path / "styled.onnx", latent=3)
    plain = onnx_nets.pointwise(tmp_path / "same.onnx", task="translate")
    args = ("evaluate", model, "--data", pairs, "--samples", 5, "--seed", 2, "--against", plain, "--device", "cpu")
    done = img2img(*args, "--json", "--record", "--sheet", tmp_path / "sheet.png")
    assert done.status == 0, done.err
    last = json.loads(done.out.splitlines()[-1])
    codes = np.concatenate([latents.draw(3, seed=2, number=number) for number in range(1, 6)]) / 10
    apart = np.mean([np.abs(a - b).mean() for i, a in enumerate(codes) for b in codes[:i]])
    assert last["samples_apart"] == pytest.approx(apart, abs=0.004)
    # The truth differs from image / 2 by 20 steps for each picture.
    errors = np.abs(codes - 20 / 255).mean(1)
    assert last["l1"] == pytest.approx(errors.mean(), abs=0.005)
    assert last["l1_best"] == pytest.approx(errors.min(), abs=0.005)
    assert "samples_apart" not in last["same"] and "l1_best" not in last["copy"]
    ((_, recorded),) = session.load(model).card.metrics.items()
    assert "--samples 5" in str(recorded["command"]) and recorded["samples_apart"] == round(last["samples_apart"], 4)


def test_samples_of_unpaired_pictures_all_belong_to_the_set(
    img2img: Callable[..., Any], pairs: Path, tmp_path: Path
) -> None:
    random = np.random.default_rng(0)
    for side, low in (("A", 0), ("B", 150)):
        for number in range(20):
            (tmp_path / side).mkdir(exist_ok=True)
            noise = random.integers(low, low + 100, (16, 16, 3), np.uint8)
            Image.fromarray(noise).save(tmp_path / side / f"{number}.png")
    model = onnx_nets.styled(tmp_path / "styled.onnx", latent=3)
    sides = [tmp_path / side for side in "AB"]
    train = ["--train", sides[0], "--train", sides[1]]
    args = ("evaluate", model, "--data", sides[0], "--real", sides[1], *train, "--count", 4, "--classifier-steps", 5)
    done = img2img(*args, "--samples", 3, "--json", "--device", "cpu")
    assert done.status == 0, done.err
    last = json.loads(done.out.splitlines()[-1])
    assert last["samples_apart"] > 0.01 and {"recognised", "novelty", "precision"} <= set(last)


def test_samples_need_a_latent_code(img2img: Callable[..., Any], pairs: Path, tmp_path: Path) -> None:
    model = onnx_nets.pointwise(tmp_path / "same.onnx", task="translate")
    done = img2img("evaluate", model, "--data", pairs, "--samples", 3)
    assert done.status == 2 and "same takes no latent code" in done.err and not done.out
    assert img2img("evaluate", model, "--data", pairs, "--samples", 1).status == 2
