"""The training picture that is most similar to a result."""

from collections.abc import Callable
from functools import partial
from pathlib import Path

import numpy as np
import onnx_nets
import pytest
from PIL import Image

from img2img.data.pairs import find_pairs
from img2img.evaluation import memorisation, translation
from img2img.evaluation.memorisation import TrainingPictures
from img2img.evaluation.results import mean, value


def flat(grey: int, side: int = 64) -> np.ndarray:
    return np.full((side, side, 3), grey, np.uint8)


def slope(side: int = 64) -> np.ndarray:
    """Dark on the left, light on the right."""
    return np.repeat(np.tile(np.linspace(0, 255, side).astype(np.uint8), (side, 1))[..., None], 3, axis=2)


def known(*pictures: np.ndarray) -> TrainingPictures:
    return TrainingPictures([lambda one=one: one for one in pictures])


def test_distance_and_novelty_by_hand() -> None:
    training = known(flat(0), flat(100), flat(220))
    assert training.distance(flat(110)) == pytest.approx(10 / 255)
    assert (training.nearest(flat(170)) == flat(220)).all() and training.distance(flat(170)) == pytest.approx(50 / 255)
    assert training.distance(flat(100)) == 0 and training.distance(flat(100, side=40)) == 0
    novelty = training.novelty(flat(110), flat(60))
    assert value(novelty) == pytest.approx(10 / 40)
    # The mean is the mean distance of results divided by that of real pictures: (10 + 0) / (40 + 20).
    pooled = mean([{"novelty": novelty}, {"novelty": training.novelty(flat(0), flat(200))}])
    assert pooled["novelty"] == pytest.approx(10 / 60)


def test_a_mirrored_copy_is_a_copy() -> None:
    training = known(flat(128), slope())
    assert training.distance(slope()[:, ::-1]) == 0
    assert (training.nearest(slope()[:, ::-1]) == slope()).all()


def test_from_large_sets_some_pictures_are_compared(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(memorisation, "MAX_PICTURES", 2)
    assert known(flat(0), flat(10), flat(200), flat(210)).distance(flat(10)) == pytest.approx(10 / 255)


def test_the_baseline_that_memorises_has_no_novelty_and_the_sheet_shows_the_training_picture(
    img2img: Callable[..., object], tmp_path: Path
) -> None:
    random = np.random.default_rng(0)
    for number in range(30):
        sides = [random.integers(0, 256, (24, 24, 3), np.uint8) for _ in range(2)]
        Image.fromarray(np.concatenate(sides, axis=1)).save(tmp_path / f"{number}.png")
    data = translation.pairs([tmp_path], held_out=True)
    assert data.training == find_pairs([tmp_path]).train
    memory = partial(lambda picture, to, copy: [copy], copy=data.training[0].read()[1])
    cases = list(translation.Comparison({"memory": memory}, data).cases())
    for case in cases:
        assert value(case.figures["memory"]["novelty"]) == value(case.figures["nearest"]["novelty"]) == 0
        assert 0.5 < value(case.figures["copy"]["novelty"]) < 2
        assert (case.pictures["in training"] == data.training[0].read()[1]).all()
    model = onnx_nets.pointwise(tmp_path / "same.onnx", task="translate")
    done = img2img("evaluate", model, "--data", tmp_path, "--held-out", "--device", "cpu")
    header = next(line for line in done.out.decode().splitlines() if "sharpness" in line)  # type: ignore[attr-defined]
    assert header.split()[-1] == "novelty"
