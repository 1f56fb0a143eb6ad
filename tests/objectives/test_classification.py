"""Domain classification against torch's own losses, and the mask that ignores the columns of other data sets."""

import math

import pytest
import torch
from torch.nn import functional as F

from img2img.objectives.classification import DomainClassification

LOGITS = torch.tensor([[2.0, -1.0, 0.5, 0.0], [0.0, 1.0, -3.0, 2.0]])


def test_exclusive_domains_use_cross_entropy() -> None:
    label = F.one_hot(torch.tensor([2, 1]), 4).float()
    assert DomainClassification(exclusive=True)(LOGITS, label).item() == pytest.approx(
        F.cross_entropy(LOGITS, torch.tensor([2, 1])).item()
    )
    by_hand = math.log(math.exp(2) + math.exp(-1) + math.exp(0.5) + 1) - 0.5
    assert DomainClassification(exclusive=True)(LOGITS[:1], label[:1]).item() == pytest.approx(by_hand)


def test_attribute_loss_is_summed_over_columns_and_averaged_over_pictures() -> None:
    label = torch.tensor([[1.0, 0.0, 1.0, 0.0], [0.0, 0.0, 1.0, 1.0]])
    expected = F.binary_cross_entropy_with_logits(LOGITS, label, reduction="sum") / 2
    assert DomainClassification(exclusive=False)(LOGITS, label).item() == pytest.approx(expected.item())


def test_unknown_columns_are_ignored() -> None:
    """The data set of the first picture has columns 0 and 1, that of the second has columns 2 and 3."""
    known = torch.tensor([[1.0, 1.0, 0.0, 0.0], [0.0, 0.0, 1.0, 1.0]])
    label = torch.tensor([[0.0, 1.0, 0.0, 0.0], [0.0, 0.0, 0.0, 1.0]])
    logits = LOGITS.clone().requires_grad_()
    loss = DomainClassification(exclusive=True)(logits, label, known)
    expected = (
        F.cross_entropy(LOGITS[:1, :2], torch.tensor([1])) + F.cross_entropy(LOGITS[1:, 2:], torch.tensor([1]))
    ) / 2
    assert loss.item() == pytest.approx(expected.item())
    (gradient,) = torch.autograd.grad(loss, logits)
    assert (gradient[known == 0] == 0).all() and (gradient[known == 1] != 0).all()
    attributes = DomainClassification(exclusive=False)(logits, label, known)
    assert attributes.item() == pytest.approx(
        (F.binary_cross_entropy_with_logits(LOGITS, label, reduction="none") * known).sum().item() / 2
    )
    (gradient,) = torch.autograd.grad(attributes, logits)
    assert (gradient[known == 0] == 0).all()


@pytest.mark.parametrize("exclusive", [True, False])
def test_a_picture_without_known_columns_does_not_count(exclusive: bool) -> None:
    logits = LOGITS.clone().requires_grad_()
    label = torch.tensor([[1.0, 0.0, 0.0, 0.0]]).expand(2, 4)
    known = torch.tensor([[0.0] * 4, [1.0] * 4])
    objective = DomainClassification(exclusive)
    loss = objective(logits, label, known)
    assert loss.item() == pytest.approx(objective(LOGITS[1:], label[1:]).item() / 2)
    (gradient,) = torch.autograd.grad(loss, logits)
    assert gradient.isfinite().all() and (gradient[0] == 0).all()


def test_one_row_of_known_columns_applies_to_all_pictures() -> None:
    label = torch.tensor([[0.0, 1.0, 0.0, 0.0]]).expand(2, 4)
    row = torch.tensor([1.0, 1.0, 0.0, 0.0])
    objective = DomainClassification(exclusive=True)
    assert objective(LOGITS, label, row).item() == objective(LOGITS, label, row.expand(2, 4)).item()
