"""KID equals that of torchmetrics, and its error is right."""

import numpy as np
import pytest
import torch
from torch import nn
from torchmetrics.image.kid import KernelInceptionDistance, poly_mmd

from img2img.evaluation.kernel_distance import kid, squared_mmd


def features(count: int, seed: int, shift: float = 0.0, width: int = 12) -> np.ndarray:
    return np.random.default_rng(seed).standard_normal((count, width)).astype(np.float32) + np.float32(shift)


def test_kid_equals_that_of_torchmetrics() -> None:
    a, b = features(40, 1), features(40, 2, 0.3)
    expected = float(poly_mmd(torch.from_numpy(a).double(), torch.from_numpy(b).double()))
    assert squared_mmd(a, b).value == pytest.approx(expected, rel=1e-9)
    metric = KernelInceptionDistance(feature=nn.Identity(), subsets=2, subset_size=40)
    metric.update(torch.from_numpy(a), real=True)
    metric.update(torch.from_numpy(b), real=False)
    assert kid(a, b).value == pytest.approx(float(metric.compute()[0]), rel=1e-4)


def test_sets_of_different_sizes_follow_the_definition() -> None:
    a, b = features(5, 1, width=3).astype(np.float64), features(4, 2, 1.0, width=3).astype(np.float64)

    def mean(first: np.ndarray, second: np.ndarray, *, same: bool) -> float:
        pairs = [(i, j) for i in range(len(first)) for j in range(len(second)) if not (same and i == j)]
        return float(np.mean([(first[i] @ second[j] / 3 + 1) ** 3 for i, j in pairs]))

    expected = mean(a, a, same=True) + mean(b, b, same=True) - 2 * mean(a, b, same=False)
    assert squared_mmd(a, b).value == pytest.approx(expected)
    assert squared_mmd(b, a) == pytest.approx(squared_mmd(a, b))


def test_the_error_is_the_deviation_of_repeated_measurements() -> None:
    found = [squared_mmd(features(50, 2 * seed), features(30, 2 * seed + 1, 0.4)) for seed in range(200)]
    values, errors = np.array(found).T
    assert np.mean(errors) == pytest.approx(values.std(), rel=0.15)


def test_sets_from_the_same_source_have_distance_0_on_average() -> None:
    values = [squared_mmd(features(20, 2 * seed), features(60, 2 * seed + 1)).value for seed in range(200)]
    assert abs(np.mean(values)) < 3 * np.std(values) / np.sqrt(200)
    assert min(values) < 0 < squared_mmd(features(60, 1), features(60, 2, 1.0)).value


def test_large_sets_are_measured_on_subsets() -> None:
    a, b = features(60, 1), features(70, 2, 0.5)
    one, again, other = (kid(a, b, subsets=30, subset_size=50, seed=seed) for seed in (0, 0, 1))
    assert one == again != other
    assert one.value == pytest.approx(squared_mmd(a, b).value, abs=2 * one.error)


@pytest.mark.parametrize(("first", "second"), [((2, 4), (5, 4)), ((5, 4), (5, 3)), ((0, 4), (5, 4))])
def test_too_few_pictures_have_no_distance(first: tuple[int, int], second: tuple[int, int]) -> None:
    with pytest.raises(ValueError, match=f"{first[0]} and {second[0]}"):
        squared_mmd(np.zeros(first), np.zeros(second))
