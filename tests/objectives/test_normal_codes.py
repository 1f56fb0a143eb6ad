"""The divergence of a code from N(0, 1), and codes drawn from an encoded distribution."""

import math

import pytest
import torch

from img2img.objectives.normal_codes import divergence, draw


def test_the_divergence_is_the_sum_over_numbers_and_the_mean_over_pictures() -> None:
    mean, log_variance = torch.tensor([[1.0, 0.0], [2.0, -1.0]]), torch.tensor([[0.0, 1.0], [0.5, -0.5]])
    total = 0.0
    for m, v in zip(mean.flatten().tolist(), log_variance.flatten().tolist(), strict=True):
        total += 0.5 * (m**2 + math.exp(v) - v - 1)
    assert float(divergence(mean, log_variance)) == pytest.approx(total / 2)
    assert float(divergence(torch.zeros(3, 4), torch.zeros(3, 4))) == 0


def test_codes_have_the_encoded_mean_and_deviation_and_gradients_reach_both() -> None:
    torch.manual_seed(0)
    mean = torch.tensor([[2.0, -1.0]]).expand(20_000, 2).clone().requires_grad_()
    log_variance = torch.tensor([[0.0, math.log(9)]]).expand(20_000, 2).clone().requires_grad_()
    codes = draw(mean, log_variance)
    assert codes.mean(0).tolist() == pytest.approx([2, -1], abs=0.1)
    assert codes.std(0).tolist() == pytest.approx([1, 3], abs=0.1)
    codes.sum().backward()
    assert mean.grad is not None and log_variance.grad is not None and log_variance.grad.abs().max() > 0
