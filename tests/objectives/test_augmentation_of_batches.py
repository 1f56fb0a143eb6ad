"""Differentiable augmentation: each kind by hand, conditions, random numbers, gradients, and discriminators."""

from typing import Any

import pytest
import torch
from torch import Tensor, nn

from img2img.networks.patchgan import PatchGAN
from img2img.objectives.augment import Augment, Draw, cut_out, draw_for, translate

KINDS: list[Any] = ["color", "translation", "cutout"]


def batch(count: int = 2, channels: int = 3, side: int = 16, seed: int = 0) -> Tensor:
    return torch.rand(count, channels, side, side, generator=torch.Generator().manual_seed(seed)) * 2 - 1


def neutral(count: int = 2, **changes: Tensor) -> Draw:
    one = torch.ones(count, 1, 1, 1)
    zeros = torch.zeros(count, 2, dtype=torch.long)
    return Draw(
        **{"brightness": 0 * one, "saturation": one, "contrast": one, "shift": zeros, "centre": zeros} | changes
    )


def applied(augment: Augment, draw: Draw, pictures: Tensor, monkeypatch: pytest.MonkeyPatch) -> Tensor:
    monkeypatch.setattr("img2img.objectives.augment.draw_for", lambda given: draw)
    return augment(pictures)


def test_translation_moves_pictures_and_zeros_move_in() -> None:
    moved = translate(batch(), torch.tensor([[2, -3], [0, 0]]))
    assert torch.equal(moved[0, :, 2:, :-3], batch()[0, :, :-2, 3:])
    assert (moved[0, :, :2] == 0).all() and (moved[0, :, :, -3:] == 0).all()
    assert torch.equal(moved[1], batch()[1])


def test_cutout_removes_half_of_each_side_clipped_at_the_border() -> None:
    cut = cut_out(batch(), torch.tensor([[8, 8], [0, 16]]))
    kept = cut != 0
    assert not kept[0, :, 4:12, 4:12].any() and int((~kept[0]).sum()) == 3 * 8 * 8
    assert not kept[1, :, :4, 12:].any() and int((~kept[1]).sum()) == 3 * 4 * 4


def test_colours_change_by_hand(monkeypatch: pytest.MonkeyPatch) -> None:
    pictures, augment = batch(), Augment(["color"])
    half = torch.full((2, 1, 1, 1), 0.5)
    brighter = applied(augment, neutral(brightness=0.2 * torch.ones(2, 1, 1, 1)), pictures, monkeypatch)
    torch.testing.assert_close(brighter, pictures + 0.4)  # a fifth of the range -1..1
    grey = applied(augment, neutral(saturation=0 * half), pictures, monkeypatch)
    torch.testing.assert_close(grey, pictures.mean(1, keepdim=True).expand_as(pictures))
    flat = applied(augment, neutral(contrast=half), pictures, monkeypatch)
    torch.testing.assert_close(flat, (pictures + pictures.mean((1, 2, 3), keepdim=True)) / 2)
    torch.testing.assert_close(applied(augment, neutral(), pictures, monkeypatch), pictures)


def test_both_ranges_of_values_give_the_same_pictures() -> None:
    signed, unit = Augment(KINDS), Augment(KINDS, signed=False)
    torch.manual_seed(3)
    ours = signed(batch())
    torch.manual_seed(3)
    torch.testing.assert_close(unit((batch() + 1) / 2), (ours + 1) / 2)


def test_a_condition_is_augmented_like_its_picture() -> None:
    augment = Augment(KINDS, pictures=[slice(0, 3), slice(3, None)])
    both = augment(torch.cat((batch(), batch()), 1))
    torch.testing.assert_close(both[:, :3], both[:, 3:])
    assert not torch.allclose(both[:, :3], batch())


def test_labels_and_masks_move_along_but_keep_their_values() -> None:
    augment = Augment(KINDS, pictures=[slice(1, 4)], signed=False)
    torch.manual_seed(0)
    mask = torch.ones(2, 1, 16, 16)
    result = augment(torch.cat((mask, batch().abs()), 1))
    torch.manual_seed(0)
    draw = draw_for(mask)
    assert torch.equal(result[:, :1], cut_out(translate(mask, draw.shift), draw.centre))
    assert set(result[:, 0].unique().tolist()) == {0.0, 1.0}


def test_random_numbers_differ_between_pictures_and_calls_and_stay_in_range() -> None:
    draw = draw_for(torch.zeros(400, 3, 32, 17))
    for values, low, high in (
        (draw.brightness, -0.25, 0.25),
        (draw.saturation, 0, 2),
        (draw.contrast, 0.5, 1.5),
    ):
        assert low <= values.min() < low + 0.05 and high - 0.05 < values.max() <= high
    assert [sorted(set(column.tolist())) for column in draw.shift.T] == [list(range(-4, 5)), list(range(-2, 3))]
    assert [int(column.max()) for column in draw.centre.T] == [32, 17] and int(draw.centre.min()) == 0
    augment = Augment(KINDS)
    assert not torch.equal(augment(batch()), augment(batch()))


def test_calls_can_share_their_random_numbers() -> None:
    augment = Augment(KINDS)
    with augment.same():
        first, second = augment(batch()), augment(batch())
    assert torch.equal(first, second) and not torch.equal(augment(batch()), first)


def test_the_gradient_passes_through_also_twice() -> None:
    pictures = batch().double().requires_grad_()
    torch.manual_seed(1)
    draw = draw_for(pictures)

    def augmented(given: Tensor) -> Tensor:
        moved = cut_out(translate(given, draw.shift), draw.centre)
        return Augment([])._recolour(moved, draw)

    small = batch(count=2, side=4).double().requires_grad_()
    draw = draw_for(small)
    assert torch.autograd.gradcheck(augmented, small)
    (gradient,) = torch.autograd.grad(Augment(KINDS)(pictures).square().sum(), pictures, create_graph=True)
    gradient.square().sum().backward()
    assert pictures.grad is not None and pictures.grad.abs().sum() > 0


def test_a_discriminator_augments_in_training_only() -> None:
    discriminator: nn.Module = PatchGAN(3, features=4, layers=1, norm="none")
    plain = discriminator(batch())
    Augment(KINDS).attach(discriminator)
    assert not torch.allclose(discriminator(batch()), plain)
    assert torch.allclose(discriminator.eval()(batch()), plain)
