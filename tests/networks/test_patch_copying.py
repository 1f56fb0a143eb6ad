"""Filling holes with patches of the same picture."""

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from img2img.networks.patch_copying import PatchCopyingGenerator
from img2img.networks.patch_search import RADIUS, Level, search
from tests.networks.levels import levels_of, picture_with_hole


def stripes(side: int) -> Tensor:
    """Diagonal stripes that repeat every 8 pixels, `[1, 3, side, side]`, -1..1."""
    y, x = torch.meshgrid(torch.arange(side), torch.arange(side), indexing="ij")
    wave = ((y + x) % 8 < 4).float() * 2 - 1
    return torch.stack((wave, wave * 0.5, -wave))[None]


def generator() -> PatchCopyingGenerator:
    torch.manual_seed(0)
    return PatchCopyingGenerator(size=32, features=4, downs=2, norm="none").eval()


def test_patches_away_from_the_hole_are_their_own_source() -> None:
    levels = levels_of(*picture_with_hole())
    sources = search(levels)
    side = sources.shape[-1]
    hole = levels[-1].hole
    near = torch.nn.functional.max_pool2d(hole, 2 * RADIUS + 1, 1, RADIUS)[:, 0] > 0
    own = torch.arange(side * side).reshape(1, side, side)
    assert torch.equal(sources[~near], own[~near])
    assert not torch.equal(sources[near], own[near])


def test_sources_are_patches_without_unknown_pixels() -> None:
    levels = levels_of(*picture_with_hole())
    hole = levels[-1].hole
    side = hole.shape[-1]
    framed = torch.nn.functional.pad(hole, (RADIUS,) * 4, value=1.0)
    unknown = torch.nn.functional.max_pool2d(framed, 2 * RADIUS + 1, 1).flatten() > 0
    sources = search(levels).flatten()
    touched = torch.nn.functional.max_pool2d(hole, 2 * RADIUS + 1, 1, RADIUS).flatten() > 0
    assert unknown[sources[touched]].float().mean() == 0, "a patch was copied from the hole or from outside"
    assert side == 64


def test_each_picture_of_a_batch_is_filled_as_if_it_were_alone() -> None:
    first, second = picture_with_hole(seed=1), picture_with_hole(seed=2, top=10)
    both = search(levels_of(*(torch.cat(pair) for pair in zip(first, second, strict=True))))
    assert torch.equal(both, torch.cat([search(levels_of(*one)) for one in (first, second)]))


def test_a_picture_that_is_all_hole_has_a_result() -> None:
    image, mask = picture_with_hole()
    assert search(levels_of(image * 0, torch.ones_like(mask))).shape == (1, 64, 64)


def test_stripes_continue_through_the_hole() -> None:
    truth = stripes(256)
    mask = torch.zeros(1, 1, 256, 256)
    mask[:, :, 96:144, 100:160] = 1
    with torch.no_grad():
        filled = generator()(truth * (1 - mask), mask)
    wrong = (filled - truth).abs().amax(1, keepdim=True)[mask > 0] > 0.2
    assert wrong.float().mean() < 0.05, "the stripes in the hole are broken or shifted"


@settings(max_examples=3, deadline=None)
@given(height=st.integers(1, 90), width=st.integers(1, 90))
def test_pictures_of_any_size_can_be_filled(height: int, width: int) -> None:
    image = torch.rand(1, 3, height, width) * 2 - 1
    mask = torch.zeros(1, 1, height, width)
    mask[:, :, : height // 2, : width // 2] = 1
    with torch.no_grad():
        filled = generator()(image * (1 - mask), mask)
    assert filled.shape == image.shape
    assert filled.isfinite().all() and filled.abs().max() <= 1


def test_in_training_the_network_is_its_unet() -> None:
    network = generator().train()
    image, mask = torch.rand(2, 3, 16, 16), torch.zeros(2, 1, 16, 16)
    result = network(image, mask)
    assert torch.equal(result, network.coarse(torch.cat((image, mask), 1)))
    result.sum().backward()
    assert all(parameter.grad is not None for parameter in network.parameters())


@pytest.mark.parametrize("prefix", ["", "folded"])
def test_weights_of_a_unet_become_those_of_the_coarse_network(prefix: str) -> None:
    network = generator()
    state = {key.removeprefix("coarse."): value + 1 for key, value in network.state_dict().items()}
    if prefix:  # as read from an exported model, whose batch norms are folded into biases
        first = "model.model.0.bias"
        state = {key.replace(".bias", ".weight_bias") if key != first else key: value for key, value in state.items()}
        del state[first]
    adapted = network.initial_state_from(state)
    assert adapted is not None
    assert adapted[0].keys() == network.state_dict().keys()
    assert torch.equal(adapted[0]["coarse.model.model.0.weight"], state["model.model.0.weight"])


def test_levels_hold_whole_numbers() -> None:
    for level in levels_of(*picture_with_hole()):
        assert isinstance(level, Level)
        assert torch.equal(level.image, level.image.round())
