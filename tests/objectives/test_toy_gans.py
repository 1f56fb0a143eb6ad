"""The two-dimensional experiment of examples/toy_gans.py, cut short: the objectives do train a generator."""

import importlib.util
import sys
from pathlib import Path
from types import ModuleType

import pytest
import torch

from img2img import objectives


def example(name: str) -> ModuleType:
    spec = importlib.util.spec_from_file_location(name, Path(__file__).parents[2] / "examples" / f"{name}.py")
    assert spec and spec.loader
    module = importlib.util.module_from_spec(spec)
    sys.modules[name] = module  # dataclasses look up their module
    spec.loader.exec_module(module)
    return module


@pytest.fixture(scope="module")
def toy() -> ModuleType:
    return example("toy_gans")


@pytest.fixture(scope="module")
def ring() -> ModuleType:
    return example("toy_ring")


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


def test_a_ring_covers_all_arcs_and_half_a_ring_half_of_them(ring: ModuleType) -> None:
    torch.manual_seed(0)
    points = ring.draw_ring(2, 4000)
    half = torch.where(points[..., 1:] > ring.CENTRE, points, torch.zeros(()))
    assert ring.arcs_covered(points).tolist() == [32, 32]
    assert ring.arcs_covered(half).tolist() == [16, 16]
    assert ring.arcs_covered(torch.full((2, 100, 2), ring.CENTRE)).tolist() == [0, 0]
    assert ring.share_on_ring(half)[0].item() == pytest.approx(0.5, abs=0.03)


@pytest.mark.parametrize("name", ["GAN, minimax", "GAN, non-saturating", "WGAN", "feature matching"])
def test_all_seeds_of_the_ring_are_trained_apart(ring: ModuleType, name: str) -> None:
    shown: list[torch.Tensor] = []
    ring.train(ring.LOSSES[name], 2, 40, 20, 1e-2, lambda step, points: shown.append(points.mean(1)))
    first, last = shown
    assert first.shape == (2, 2) and not torch.equal(first[0], first[1])
    assert (first != last).all()
