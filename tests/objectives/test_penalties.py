"""Gradient penalties against discriminators with known gradients."""

import pytest
import torch
from torch import Tensor, nn

from img2img import objectives
from img2img.errors import ConfigError

REAL, FAKE = torch.tensor([[3.0, 4.0], [0.0, 1.0]]), torch.tensor([[1.0, 0.0], [0.0, 2.0]])
W = torch.tensor([3.0, 4.0])


def linear(x: Tensor) -> Tensor:
    return x @ W  # gradient W everywhere, norm 5


def quadratic(x: Tensor) -> Tensor:
    return x.square().sum(1) / 2  # gradient x


@pytest.mark.parametrize(("name", "value"), [("gradient", 16.0), ("dragan", 16.0), ("r1", 12.5), ("r2", 12.5)])
def test_penalty_of_a_linear_discriminator(name: str, value: float) -> None:
    assert objectives.penalty(name)(linear, REAL, FAKE).item() == pytest.approx(value)


def test_r1_looks_at_real_and_r2_at_fake_pictures() -> None:
    assert objectives.penalty("r1")(quadratic, REAL, FAKE).item() == pytest.approx((25 + 1) / 2 / 2)
    assert objectives.penalty("r2")(quadratic, REAL, FAKE).item() == pytest.approx((1 + 4) / 2 / 2)


def test_gradient_penalty_looks_between_real_and_fake_with_one_share_per_picture() -> None:
    seen: list[Tensor] = []

    def record(x: Tensor) -> Tensor:
        seen.append(x.detach())
        return quadratic(x)

    torch.manual_seed(0)
    real, fake = torch.zeros(200, 3, 2, 2), torch.ones(200, 3, 2, 2)
    objectives.penalty("gradient", centre=0.0)(lambda x: record(x).sum(), real, fake)
    (between,) = seen
    shares = between.flatten(1)
    assert (shares == shares[:, :1]).all(), "one share for all values of a picture"
    assert 0 <= shares.min() < 0.05 and 0.95 < shares.max() <= 1 and shares[:, 0].unique().numel() == 200


def test_dragan_penalty_looks_only_near_real_pictures() -> None:
    seen: list[Tensor] = []

    def record(x: Tensor) -> Tensor:
        seen.append(x.detach())
        return quadratic(x)

    real = torch.randn(500, 2) * 4
    objectives.penalty("dragan", noise=0.25)(record, real, real + 1000)
    moved = seen[0] - real
    assert moved.min() >= 0 and 0.5 * real.std() * 0.25 < moved.max() <= 0.25 * real.std()


def test_the_centre_shifts_the_target_norm() -> None:
    assert objectives.penalty("gradient", centre=0.0)(linear, REAL, FAKE).item() == pytest.approx(25)
    assert objectives.penalty("gradient", centre=5.0)(linear, REAL, FAKE).item() == pytest.approx(0)


def test_the_gradient_covers_all_positions_and_scales() -> None:
    def maps(x: Tensor) -> list[Tensor]:
        return [torch.stack([linear(x), linear(x)], 1).view(-1, 1, 1, 2), linear(x)[:, None]]

    assert objectives.penalty("gradient")(maps, REAL, FAKE).item() == pytest.approx((15 - 1) ** 2)


@pytest.mark.parametrize("name", list(objectives.PENALTIES))
def test_gradients_reach_the_weights_but_not_the_pictures(name: str) -> None:
    network = nn.Sequential(nn.Conv2d(1, 2, 3), nn.Tanh(), nn.Conv2d(2, 1, 2))
    real, fake = torch.randn(2, 1, 4, 4, requires_grad=True), torch.randn(2, 1, 4, 4, requires_grad=True)
    objectives.penalty(name)(network, real, fake).backward()
    assert all(p.grad is not None and p.grad.isfinite().all() for p in (network[0].weight, network[2].weight))
    assert network[0].weight.grad.abs().sum() > 0
    assert real.grad is None and fake.grad is None


@pytest.mark.parametrize("name", list(objectives.PENALTIES))
def test_training_pulls_the_gradient_norm_to_the_centre(name: str) -> None:
    torch.manual_seed(0)
    network = nn.Linear(2, 1)
    optimiser = torch.optim.SGD(network.parameters(), 0.1)
    penalty = objectives.penalty(name)
    for _ in range(200):
        optimiser.zero_grad()
        penalty(network, REAL, FAKE).backward()
        optimiser.step()
    assert network.weight.norm().item() == pytest.approx(1 if name in ("gradient", "dragan") else 0, abs=1e-3)


def test_a_zero_gradient_has_a_finite_penalty_and_derivative() -> None:
    network = nn.Linear(2, 1)
    nn.init.zeros_(network.weight)
    penalty = objectives.penalty("gradient")(network, REAL, FAKE)
    penalty.backward()
    assert penalty.item() == 1 and network.weight.grad.isfinite().all()


def test_the_penalty_is_computed_outside_autocast() -> None:
    network = nn.Linear(2, 1)
    types: list[torch.dtype] = []

    def record(x: Tensor) -> Tensor:
        scores: Tensor = network(x)
        types.append(scores.dtype)
        return scores

    with torch.autocast("cpu", torch.bfloat16), torch.no_grad():
        value = objectives.penalty("r1")(record, REAL.bfloat16(), FAKE.bfloat16())
    assert types == [torch.float32]
    assert value.item() == pytest.approx(network.weight.square().sum().item() / 2, rel=1e-5)


def test_unknown_penalties_and_options_are_rejected() -> None:
    with pytest.raises(ConfigError, match="unknown penalty 'gp'; choose from gradient, dragan, r1, r2"):
        objectives.penalty("gp")
    with pytest.raises(ConfigError, match="penalty 'r1' has no option 'centre'; it takes no options"):
        objectives.penalty("r1", centre=0.0)
