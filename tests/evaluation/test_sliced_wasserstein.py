import numpy as np
import pytest

from img2img.evaluation.sliced_wasserstein import sliced_wasserstein


def noise(count: int, *, smooth: bool = False, seed: int = 0) -> list[np.ndarray]:
    values = np.random.default_rng(seed).normal(128, 40, (count, 64, 64, 3))
    if smooth:
        values = (values + np.roll(values, 1, 1) + np.roll(values, 1, 2) + np.roll(values, (1, 1), (1, 2))) / 2 - 128
    return list(values.clip(0, 255).astype(np.uint8))


def test_equal_sets_have_no_distance() -> None:
    assert sliced_wasserstein(noise(4), noise(4)) == 0


def test_sets_of_the_same_kind_are_closer_than_sets_of_different_kinds() -> None:
    same = sliced_wasserstein(noise(8, seed=1), noise(8, seed=2))
    other = sliced_wasserstein(noise(8, seed=1, smooth=True), noise(8, seed=2))
    assert other > 3 * same


def test_the_larger_set_is_cut_to_the_smaller_and_an_empty_set_is_refused() -> None:
    assert sliced_wasserstein(noise(3), noise(5)) == 0
    with pytest.raises(ValueError, match="without pictures"):
        sliced_wasserstein([], noise(2))
