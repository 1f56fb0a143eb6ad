"""DistanceGAN's distances and loss equal their formulas."""

import itertools

import pytest
import torch

from img2img.objectives.pair_distance import Scale, distance_loss, halves, pairs


def test_distances_equal_loops_over_pictures() -> None:
    torch.manual_seed(0)
    pictures = torch.rand(4, 3, 6, 5)
    expected = [float((a - b).abs().sum()) / 90 for a, b in itertools.combinations(pictures, 2)]
    assert pairs(pictures).tolist() == pytest.approx(expected)
    assert halves(pictures).tolist() == pytest.approx(
        [float((one[:, :3] - one[:, 3:]).abs().sum()) / 45 for one in pictures]
    )


def test_a_scale_is_mean_and_deviation_over_all_pairs() -> None:
    torch.manual_seed(0)
    pictures = torch.rand(5, 3, 4, 4)
    distances = pairs(pictures)
    scale = Scale.of_pairs(pictures)
    assert (scale.mean, scale.deviation) == pytest.approx((float(distances.mean()), float(distances.std())), rel=1e-5)
    assert Scale.of_halves(pictures).mean == pytest.approx(float(halves(pictures).mean()))


def test_the_loss_compares_normalised_distances() -> None:
    loss = distance_loss(torch.tensor([1.0, 3.0]), torch.tensor([10.0, 30.0]), Scale(2.0, 0.5), Scale(20.0, 10.0))
    assert float(loss) == pytest.approx((abs(-2 - -1) + abs(2 - 1)) / 2)


def test_pictures_that_keep_their_differences_have_no_loss() -> None:
    torch.manual_seed(0)
    pictures = torch.rand(4, 3, 4, 4)
    inverted = 1 - pictures
    assert float(distance_loss(pairs(pictures), pairs(inverted), Scale(0.3, 0.1), Scale(0.3, 0.1))) < 1e-5
