"""Precision, recall, density and coverage, against values computed by hand."""

import numpy as np
import pytest

from img2img.evaluation.neighbourhoods import figures


def line(*places: float) -> np.ndarray:
    """Feature vectors on a line."""
    return np.array(places, np.float32)[:, None]


def test_sets_on_a_line_by_hand() -> None:
    # Distances to the third nearest neighbour: 3, 2, 2, 3 in the first group, the same in the second.
    real = line(0, 1, 2, 3, 100, 101, 102, 103)
    # The third nearest neighbours are at distances of 9, 7, 8, 9.
    made = line(1.5, 3.5, -5.5, 2.5)
    found = figures(real, made)
    # No real neighbourhood contains -5.5: the nearest is [-3, 3].
    assert found["precision"] == 3 / 4
    # The neighbourhoods of the made pictures are [-5.5, 8.5], [-5.5, 12.5], [-14.5, 3.5], [-5.5, 10.5].
    assert found["recall"] == 4 / 8
    # The fifth nearest neighbour is in the other group, so each real neighbourhood contains its whole group and more:
    # those of the first group reach to at least 98 on both sides, and those of the second down to 3 or less.
    # 100: neighbours 101, 102, 103, 3, 2 -> 98, from 2; 101 -> 99, from 2; 102 -> 100, from 2; 103 -> 101, from 2.
    # So 3.5 and 2.5 are in 8 neighbourhoods, 1.5 and -5.5 in the 4 of the first group.
    assert found["density"] == pytest.approx((8 + 8 + 4 + 4) / 4 / 5)
    assert found["coverage"] == 1


def test_a_collapsed_model_is_precise_and_covers_little() -> None:
    random = np.random.default_rng(0)
    real = np.concatenate([random.normal(place, 1, (50, 2)) for place in (0, 100, 200, 300)])
    good = np.concatenate([random.normal(place, 1, (50, 2)) for place in (0, 100, 200, 300)])
    collapsed = random.normal(0, 1, (200, 2))
    of_good, of_collapsed = figures(real, good), figures(real, collapsed)
    assert min(of_good.values()) > 0.8 and of_collapsed["precision"] > 0.8 and of_collapsed["density"] > 0.8
    assert of_collapsed["recall"] <= 0.25 and of_collapsed["coverage"] <= 0.25


def test_a_set_compared_with_itself_has_full_marks() -> None:
    real = np.random.default_rng(0).normal(size=(30, 4)).astype(np.float32)
    found = figures(real, real)
    assert found["precision"] == found["recall"] == found["coverage"] == 1
    # A picture is in its own neighbourhood and, on average, in k others.
    assert found["density"] == pytest.approx(6 / 5)


def test_figures_that_need_more_pictures_are_omitted() -> None:
    assert figures(line(0, 1, 2), line(0, 1, 2)) == {}
    assert set(figures(line(0, 1, 2, 3), line(0, 1, 2, 3))) == {"precision", "recall"}
    assert set(figures(line(0, 1, 2, 3, 4, 5), line(0))) == {"density", "coverage"}
    with pytest.raises(ValueError, match="shapes"):
        figures(line(0, 1), np.zeros((3, 2)))
