"""Terms against generators that make few kinds of pictures: each equals its paper's formula."""

import math

import numpy as np
import pytest
import torch

from img2img.objectives.information import Information
from img2img.objectives.mode_regulariser import ModeRegulariser
from img2img.objectives.mode_seeking import ModeSeeking
from img2img.objectives.pulling_away import PullingAway


def test_mode_seeking_is_the_distance_of_codes_divided_by_that_of_pictures() -> None:
    torch.manual_seed(0)
    pictures, codes = torch.rand(2, 3, 3, 4, 4), torch.randn(2, 3, 8)
    between_pictures = np.mean(np.abs(pictures[0].numpy() - pictures[1].numpy()))
    between_codes = np.mean(np.abs(codes[0].numpy() - codes[1].numpy()))
    loss = ModeSeeking()(*pictures, *codes)
    assert float(loss) == pytest.approx(between_codes / (between_pictures + 1e-5), rel=1e-5)


def test_mode_seeking_falls_as_pictures_differ_more_and_stays_finite() -> None:
    codes = torch.randn(2, 2, 4)
    one = torch.zeros(2, 3, 4, 4, requires_grad=True)
    near, far, same = (ModeSeeking()(one, torch.full_like(one, shift), *codes) for shift in (0.1, 1.0, 0.0))
    assert far < near < same and same.isfinite()
    near.backward()
    assert one.grad is not None and (one.grad > 0).all(), "a step down moves the pictures apart"


def test_pulling_away_is_equation_4_pair_by_pair() -> None:
    torch.manual_seed(0)
    codes = torch.randn(5, 3, 2, 2)
    flat = codes.flatten(1).numpy()
    total = 0.0
    for i in range(5):
        for j in range(5):
            if i != j:
                cosine = flat[i] @ flat[j] / (np.linalg.norm(flat[i]) * np.linalg.norm(flat[j]))
                total += cosine**2
    assert float(PullingAway()(codes)) == pytest.approx(total / (5 * 4), rel=1e-5)


def test_pulling_away_is_0_for_orthogonal_and_1_for_parallel_codes() -> None:
    assert float(PullingAway()(3 * torch.eye(4))) == pytest.approx(0, abs=1e-7)
    assert float(PullingAway()(torch.tensor([[1.0, 2], [2, 4], [-1, -2]]))) == pytest.approx(1)
    with pytest.raises(ValueError, match="needs a batch of 2 or more"):
        PullingAway()(torch.rand(1, 4))


def test_the_mode_regulariser_is_minus_log_d_of_reconstructions() -> None:
    coarse, fine = torch.randn(2, 1), torch.randn(2, 1, 3, 3)

    def by_hand(scores: torch.Tensor) -> float:
        return float(np.mean([-math.log(1 / (1 + math.exp(-value))) for value in scores.flatten().tolist()]))

    assert float(ModeRegulariser()(coarse)) == pytest.approx(by_hand(coarse), rel=1e-5)
    assert float(ModeRegulariser()([coarse, fine])) == pytest.approx(by_hand(coarse) + by_hand(fine), rel=1e-5)
    assert ModeRegulariser()(torch.tensor([200.0, -200.0])).isfinite()


def test_information_is_the_log_density_plus_the_entropy() -> None:
    torch.manual_seed(0)
    mean, log_variance, code = torch.randn(3, 2), torch.randn(3, 2), torch.randn(3, 2)
    total = 0.0
    for n in range(3):
        for i in range(2):
            variance = math.exp(log_variance[n, i])
            density = math.exp(-((code[n, i] - mean[n, i]) ** 2) / (2 * variance)) / math.sqrt(2 * math.pi * variance)
            total += math.log(density) + 0.5 * math.log(2 * math.pi * math.e)
    bound = Information()(torch.cat((mean, log_variance), 1), code)
    assert float(bound) == pytest.approx(total / 3, rel=1e-4)


def test_an_estimate_that_equals_the_prior_knows_nothing() -> None:
    code = torch.randn(20_000, 2, generator=torch.Generator().manual_seed(0))
    zeros = torch.zeros_like(code)
    assert float(Information()(torch.cat((zeros, zeros), 1), code)) == pytest.approx(0, abs=0.02)
    assert Information()(torch.cat((code, zeros - 4), 1), code) > 3
