"""The SSIM loss equals the SSIM metric, and a result can be optimised with it."""

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from img2img import objectives
from img2img.evaluation.inpainting import ssim_map
from img2img.methods.config import PerceptualConfig
from img2img.methods.reconstruction import ReconstructionLoss
from img2img.objectives.reconstruction import MaskedReconstruction
from img2img.objectives.similarity import Dissimilarity

RANGES = [(False, 0.0, 1.0), (True, -1.0, 1.0)]


def scaled(pictures: np.ndarray, low: float, high: float) -> torch.Tensor:
    """uint8 `[N, H, W, C]` as `[N, C, H, W]` in another range."""
    return torch.from_numpy(pictures).permute(0, 3, 1, 2).float() / 255 * (high - low) + low


def pair(seed: int, height: int, width: int, channels: int = 3) -> tuple[np.ndarray, np.ndarray]:
    """Two similar pictures with flat parts, `[2, H, W, C]`."""
    rng = np.random.default_rng(seed)
    truth = rng.integers(0, 256, (2, height, width, channels))
    truth[:, : height // 2] = truth[:, :1, :1]
    noise = rng.normal(0, rng.uniform(0, 60), truth.shape)
    return (truth + noise).clip(0, 255).astype(np.uint8), truth.astype(np.uint8)


@pytest.mark.parametrize(("signed", "low", "high"), RANGES, ids=["unit", "signed"])
@given(st.integers(0, 2**31), st.integers(6, 30), st.integers(6, 30), st.sampled_from([1, 3]))
def test_the_loss_equals_the_metric(
    signed: bool, low: float, high: float, seed: int, h: int, w: int, channels: int
) -> None:
    result, truth = pair(seed, h, w, channels)
    colours = [np.repeat(one, 3 // channels, 3).astype(float) for one in (result, truth)]
    maps = [ssim_map(a, b) for a, b in zip(*colours, strict=True)]
    loss = Dissimilarity(signed)(scaled(result, low, high), scaled(truth, low, high))
    assert loss.item() == pytest.approx(1 - np.mean(maps), abs=2e-4)


@pytest.mark.parametrize("value", [-1.0, 0.3, 1.0])
def test_flat_pictures_agree_and_have_a_finite_gradient(value: float) -> None:
    flat = torch.full((1, 3, 16, 16), value)
    for other in (flat, flat + 1e-3, -flat, flat + 0.01 * torch.randn(flat.shape)):
        result = other.clone().requires_grad_()
        loss = Dissimilarity()(result, flat)
        (gradient,) = torch.autograd.grad(loss, result)
        assert 0 <= loss.item() + 1e-5 <= 2 and gradient.isfinite().all()
    assert Dissimilarity()(flat, flat).item() == pytest.approx(0, abs=1e-5)


def test_the_loss_is_zero_for_equal_pictures_and_grows_with_noise() -> None:
    truth = torch.rand(2, 3, 20, 24, generator=torch.Generator().manual_seed(0)) * 2 - 1
    noise = torch.randn(truth.shape, generator=torch.Generator().manual_seed(1))
    losses = [Dissimilarity()(truth + share * noise, truth).item() for share in (0, 0.05, 0.2, 1)]
    assert losses[0] == pytest.approx(0, abs=1e-5) and losses == sorted(losses) and losses[3] > 0.5
    assert Dissimilarity()(-truth, truth).item() > 1


def test_gradient_descent_reaches_the_truth() -> None:
    source = torch.Generator().manual_seed(0)
    truth = torch.rand(1, 1, 16, 16, generator=source)
    result = truth + 0.3 * torch.randn(truth.shape, generator=source)
    before = Dissimilarity(signed=False)(result, truth).item()
    for _ in range(60):
        result = result.detach().requires_grad_()
        loss = Dissimilarity(signed=False)(result, truth)
        (gradient,) = torch.autograd.grad(loss, result)
        result = result - 0.02 * gradient.sign()
    assert loss.item() < 0.1 * before


def test_surrounding_autocast_changes_nothing() -> None:
    flat = torch.full((1, 3, 24, 24), 0.43)
    result = (flat + 0.02 * torch.randn(flat.shape, generator=torch.Generator().manual_seed(0))).requires_grad_()
    values, gradients = [], []
    for half in (False, True):
        with torch.autocast("cpu", dtype=torch.bfloat16, enabled=half):
            loss = Dissimilarity()(result, flat)
        values.append(loss.item())
        gradients.append(torch.autograd.grad(loss, result)[0])
    assert values[0] == values[1] and torch.equal(*gradients)


def test_terms_pass_the_value_range_of_the_method() -> None:
    result, truth = (scaled(one, 0, 1) for one in pair(5, 20, 20))
    wanted = Dissimilarity(signed=False)(result, truth).item()
    for signed, (a, b) in ((False, (result, truth)), (True, (2 * result - 1, 2 * truth - 1))):
        figures, loss = ReconstructionLoss({"ssim": 3.0}, PerceptualConfig(), signed=signed)(a, b)
        assert figures["ssim"].item() == pytest.approx(wanted, rel=1e-3)
        assert loss.item() == pytest.approx(3 * wanted, rel=1e-3)
    assert isinstance(objectives.build("ssim"), Dissimilarity)


def test_masked_regions_count_only_their_own_differences() -> None:
    truth = torch.rand(1, 3, 32, 32, generator=torch.Generator().manual_seed(0)) * 2 - 1
    mask = torch.zeros(1, 1, 32, 32)
    mask[..., 8:24, 8:24] = 1  # a quarter
    changed = -truth
    inside, around = truth + mask * (changed - truth), truth + (1 - mask) * (changed - truth)
    hole, valid = MaskedReconstruction(Dissimilarity(), 1, 0), MaskedReconstruction(Dissimilarity(), 0, 1)
    assert hole(around, truth, mask).item() == pytest.approx(0, abs=1e-4)
    assert valid(inside, truth, mask).item() == pytest.approx(0, abs=1e-4)
    assert hole(inside, truth, mask).item() == pytest.approx(4 * Dissimilarity()(inside, truth).item(), rel=1e-3)
    assert valid(around, truth, mask).item() == pytest.approx(Dissimilarity()(around, truth).item() / 0.75, rel=1e-3)
    result = inside.clone().requires_grad_()
    (gradient,) = torch.autograd.grad(hole(result, truth, mask), result)
    assert gradient.isfinite().all() and (gradient * mask).any() and not (gradient * (1 - mask)).any()
