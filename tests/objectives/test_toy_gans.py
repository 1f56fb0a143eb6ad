"""The two-dimensional experiment of examples/toy_gans.py, cut short: the objectives do train a generator."""

import importlib.util
import sys
from pathlib import Path
from types import ModuleType

import pytest
import torch

from img2img import objectives


@pytest.fixture(scope="module")
def toy() -> ModuleType:
    spec = importlib.util.spec_from_file_location("toy_gans", Path(__file__).parents[2] / "examples" / "toy_gans.py")
    assert spec and spec.loader
    module = importlib.util.module_from_spec(spec)
    sys.modules["toy_gans"] = module  # dataclasses look up their module
    spec.loader.exec_module(module)
    return module


def test_every_objective_and_divergence_is_in_the_table(toy: ModuleType) -> None:
    from img2img.objectives.f_gan import DIVERGENCES

    assert {setting.objective for setting in toy.SETTINGS.values()} == set(objectives.ADVERSARIAL)
    assert {setting.options.get("divergence") for setting in toy.SETTINGS.values()} >= set(DIVERGENCES)


@pytest.mark.parametrize("name", ["8 Gaussians", "ring"])
def test_real_points_score_perfectly_and_others_do_not(toy: ModuleType, name: str) -> None:
    torch.manual_seed(0)
    data = toy.DATA[name]()
    score = data.score(data.sample(4000))
    assert score.modes == data.modes and score.quality > 0.98 and score.kl < 0.02
    assert data.score(torch.zeros(100, 2)) == (0, 0, float("inf"))
    one = data.score(data.sample(1).expand(100, 2))
    assert one.modes <= 1 and (
        one.quality == 0 or one.kl == pytest.approx(torch.tensor(float(data.modes)).log().item())
    )


@pytest.mark.parametrize("name", ["loss-sensitive", "feature matching only"])
def test_a_short_training_moves_points_to_the_ring(toy: ModuleType, name: str) -> None:
    """Points of an untrained generator lie near the middle, 1.85 from the ring. A few hundred updates halve that."""
    data = toy.ring()

    def distance(steps: int) -> float:
        _, deviations = data.judge(toy.sample(toy.train(toy.SETTINGS[name], data, steps, seed=0, width=32)))
        return deviations.mean().item() * 0.05

    before, after = distance(0), distance(400)
    assert before > 1.7 and after < before / 2
