"""The adaptive probability of augmentations: its steps, its state, and what it applies."""

from typing import Any

import pytest
import torch
from torch import Tensor

from img2img.objectives.adaptive import AdaptiveProbability
from img2img.objectives.augment import Augment
from img2img.objectives.logistic import NonSaturating

KINDS: list[Any] = ["color", "translation", "cutout"]
SURE, UNSURE = torch.tensor(1.0), torch.tensor(0.5)


def after(probability: AdaptiveProbability, accuracy: Tensor, batches: int, pictures: int) -> float:
    for _ in range(batches):
        probability.update(accuracy, pictures)
    return float(probability.p)


def test_it_goes_from_0_to_1_in_half_a_million_pictures() -> None:
    probability = AdaptiveProbability(0.6, batch=2500)
    assert after(probability, SURE, 100, 2500) == pytest.approx(0.5)
    assert after(probability, SURE, 100, 2500) == pytest.approx(1)
    assert after(probability, SURE, 4, 2500) == 1
    assert after(probability, UNSURE, 200, 2500) == pytest.approx(0, abs=1e-6)
    assert after(probability, UNSURE, 4, 2500) == 0


def test_it_changes_after_every_fourth_batch_only() -> None:
    probability = AdaptiveProbability(0.6, batch=10)
    assert [after(probability, SURE, 1, 10) > 0 for _ in range(4)] == [False, False, False, True]
    assert float(probability.p) == pytest.approx(40 / 500_000)
    assert after(probability, SURE, 3, 10) == pytest.approx(40 / 500_000)
    assert after(probability, SURE, 1, 10) == pytest.approx(80 / 500_000)


def test_parts_of_a_batch_count_as_one_batch() -> None:
    probability = AdaptiveProbability(0.6, batch=10)
    assert after(probability, SURE, 7, 5) == 0
    assert after(probability, SURE, 1, 5) == pytest.approx(40 / 500_000)


@pytest.mark.parametrize(
    ("scores", "direction"),
    [([3, 1, 9, 1, 2], 1), ([9, 9, 9, 9, 1e-3], 1), ([9, 9, 9, 9, -1e-3], -1), ([5, -1, 2], -1)],
)
def test_the_mean_sign_of_the_scores_is_compared_with_the_target(scores: list[float], direction: int) -> None:
    r_t = sum(1 if score > 0 else -1 for score in scores) / len(scores)
    assert (1 if r_t > 0.7 else -1) == direction
    probability = AdaptiveProbability(0.7, batch=len(scores))
    probability.p = torch.tensor(0.5)
    right, _ = NonSaturating().accuracies(torch.tensor(scores), torch.zeros(1))
    change = after(probability, right, 4, len(scores)) - 0.5
    assert change == pytest.approx(direction * 4 * len(scores) / 500_000, rel=0.01)


def test_batches_are_averaged_before_the_comparison() -> None:
    probability = AdaptiveProbability(0.6, batch=10)
    for accuracy in (1.0, 1.0, 1.0, 0.1):  # r_t is 0.55
        probability.update(torch.tensor(accuracy), 10)
    assert float(probability.p) == 0


def test_a_restored_state_continues_where_it_was() -> None:
    whole, broken = (AdaptiveProbability(0.6, batch=10) for _ in range(2))
    after(whole, SURE, 6, 10)
    after(broken, SURE, 6, 10)
    restored = AdaptiveProbability(0.6, batch=10)
    restored.load_state_dict(broken.state_dict())
    for _ in range(3):
        assert after(restored, SURE, 1, 10) == after(whole, SURE, 1, 10)
    assert restored.state_dict() == whole.state_dict()


def pictures(count: int = 400) -> Tensor:
    return torch.rand(count, 3, 8, 8, generator=torch.Generator().manual_seed(0)) + 0.5


def augmented(p: float, kinds: list[Any]) -> Tensor:
    probability = AdaptiveProbability(0.6, batch=4)
    probability.p = torch.tensor(p)
    torch.manual_seed(0)
    return Augment(kinds, probability=probability)(pictures())


def test_a_picture_gets_an_augmentation_with_this_probability() -> None:
    assert torch.equal(augmented(0.0, KINDS), pictures())
    changed = (augmented(0.3, ["color"]) != pictures()).flatten(1).any(1)
    assert 0.22 < float(changed.float().mean()) < 0.38
    torch.manual_seed(0)
    always = Augment(KINDS)(pictures())
    assert torch.equal(augmented(1.0, KINDS), always)


def test_augmentations_are_chosen_independently() -> None:
    both = augmented(0.5, ["color", "cutout"])
    cut = (both == 0).flatten(1).any(1)
    kept = both[:, :, 0, 0] != 0
    recoloured = ((both != pictures()) & (both != 0)).flatten(1).any(1)
    counts = [int((a & b).sum()) for a in (cut, ~cut) for b in (recoloured, ~recoloured)]
    assert kept.any() and all(60 < count < 140 for count in counts), counts


def test_calls_that_share_random_numbers_share_the_choice() -> None:
    probability = AdaptiveProbability(0.6, batch=4)
    probability.p = torch.tensor(0.5)
    augment = Augment(KINDS, probability=probability)
    with augment.same():
        assert torch.equal(augment(pictures()), augment(pictures()))
