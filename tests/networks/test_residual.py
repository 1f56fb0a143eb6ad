"""Residual networks: folding, their start, errors and export."""

from pathlib import Path

import numpy as np
import onnxruntime as ort
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import nn
from torch.nn import functional as F

from img2img import exchange, networks
from img2img.errors import CheckpointError, ConfigError
from img2img.exchange.official_weights import official_state_dict
from img2img.networks.collapsible import CollapsibleCompact, CollapsibleConv
from img2img.networks.compact import Compact
from img2img.networks.residual import GAIN, CollapsibleResidual, Residual
from img2img.runtime.network.card import Card

ACTIVATIONS = ["silu", "relu", "prelu"]


def random_net(scale: int, activation: str = "silu", blocks: int = 3) -> CollapsibleResidual:
    torch.manual_seed(0)
    net = CollapsibleResidual(scale, features=8, blocks=blocks, convs=2, expand=12, activation=activation).double()
    for parameter in net.parameters():
        nn.init.normal_(parameter, std=0.2)
    return net


@pytest.mark.parametrize("activation", ACTIVATIONS)
@pytest.mark.parametrize("scale", [1, 2, 3, 4])
def test_folding_keeps_the_function(scale: int, activation: str) -> None:
    net = random_net(scale, activation)
    height, width = (8, 12) if scale == 1 else (7, 11)
    image = torch.rand(2, 3, height, width, dtype=torch.float64)
    result = net(image).detach()
    assert torch.allclose(result, net.folded().double()(image), rtol=1e-5, atol=1e-5 * float(result.abs().max()))
    assert result.shape == (2, 3, height * scale, width * scale)


def test_the_folded_network_has_only_plain_convolutions() -> None:
    folded = random_net(4).folded()
    assert not any(isinstance(layer, CollapsibleConv) for layer in folded.modules())
    plain = Residual(scale=4, features=8, blocks=3, convs=2)
    assert list(folded.state_dict()) == list(plain.state_dict())


def test_the_gain_is_part_of_the_function_that_weights_give() -> None:
    """Weights with branches from before there was a gain, and those with another one, keep their function."""
    torch.manual_seed(0)
    image = torch.rand(1, 3, 8, 8, dtype=torch.float64)
    for gain in (1.0, 4.0):
        old = random_net(2)
        old.gain.fill_(gain)
        state = old.state_dict()
        if gain == 1.0:
            del state["gain"]
        new = CollapsibleResidual(2, features=8, blocks=3, convs=2, expand=16).double()
        initial = new.initial_state_from(state)
        assert initial is not None
        new.load_state_dict(initial[0])
        assert float(new.gain) == GAIN
        assert torch.allclose(new(image), old(image), rtol=1e-5, atol=1e-4)


def test_training_starts_near_nearest_upscaling() -> None:
    torch.manual_seed(0)
    net = networks.build("collapsible-residual", features=32, blocks=5, convs=3)
    image = torch.rand(1, 3, 16, 16)
    with torch.no_grad():
        added = net(image) - F.interpolate(image, scale_factor=4.0, mode="nearest")
    assert 0 < float(added.abs().mean()) < 0.1


def test_every_branch_gets_a_gradient() -> None:
    net = random_net(2)
    F.l1_loss(net(torch.rand(1, 3, 8, 8, dtype=torch.float64)), torch.zeros(1, 3, 16, 16).double()).backward()
    assert all(p.grad is not None and p.grad.abs().sum() > 0 for p in net.parameters())


@pytest.mark.parametrize("activation", ["silu", "relu"])
def test_a_compact_network_folds_with_any_activation(activation: str) -> None:
    torch.manual_seed(0)
    net = CollapsibleCompact(scale=2, features=8, convs=3, expand=12, activation=activation).double()
    image = torch.rand(1, 3, 7, 11, dtype=torch.float64)
    assert torch.allclose(net(image), net.folded().double()(image), atol=1e-5)


def test_an_unknown_activation_is_rejected() -> None:
    with pytest.raises(ConfigError, match="unknown activation 'gelu'; choose from prelu, silu, relu"):
        networks.build("collapsible-residual", activation="gelu")


def test_official_weights_are_those_of_the_folded_network() -> None:
    net = random_net(4)
    assert official_state_dict(net).keys() == net.folded().state_dict().keys()


def test_the_exported_model_equals_the_trained_network(tmp_path: Path) -> None:
    torch.manual_seed(0)
    net = CollapsibleResidual(scale=2, features=8, blocks=2, convs=2, expand=12).eval()
    target = tmp_path / "model.onnx"
    exchange.export(net.folded(), Card(name="small", task="upscale", scale=2), target)
    image = np.random.default_rng(0).random((1, 3, 13, 10), np.float32)
    session = ort.InferenceSession(target, providers=["CPUExecutionProvider"])
    result = session.run(None, {session.get_inputs()[0].name: image})[0]
    with torch.no_grad():
        assert np.allclose(result, net(torch.from_numpy(image)).clamp(0, 1).numpy(), atol=1e-4)


@pytest.mark.parametrize("expand", [16, 24])
def test_a_folded_network_or_other_branches_give_the_same_function_to_start_from(expand: int) -> None:
    torch.manual_seed(1)
    trained = CollapsibleResidual(scale=2, features=8, blocks=2, convs=2, expand=16)
    for parameter in trained.parameters():
        parameter.data += 0.02 * torch.randn_like(parameter)
    image = torch.rand(1, 3, 12, 10)
    for state in (trained.folded().state_dict(), trained.state_dict()):
        network = CollapsibleResidual(scale=2, features=8, blocks=2, convs=2, expand=expand)
        found = network.initial_state_from(state)
        if found is None:
            assert expand == 16 and "first.direct.weight" in state, "only its own layout is loaded as it is"
            continue
        network.load_state_dict(found[0])
        torch.testing.assert_close(network(image), trained(image), atol=1e-5, rtol=1e-4)


def test_a_network_for_another_scale_gives_all_but_its_last_convolution() -> None:
    small = CollapsibleResidual(scale=2, features=8, blocks=2, convs=2, expand=16)
    network = CollapsibleResidual(scale=4, features=8, blocks=2, convs=2, expand=16)
    found = network.initial_state_from(small.folded().state_dict())
    assert found is not None and "another scale" in found[1]
    last = network.last.weight.clone()
    network.load_state_dict(found[0])
    assert torch.equal(network.last.weight, last)
    torch.testing.assert_close(network.first.kernel()[0], small.first.kernel()[0], atol=1e-6, rtol=1e-5)


@settings(deadline=None, max_examples=20)
@given(st.integers(0, 5), st.integers(0, 3), st.sampled_from((1, 2, 4)), st.booleans())
def test_a_larger_network_starts_as_a_smaller_one(wider: int, deeper: int, scale: int, folded: bool) -> None:
    small = random_net(scale, blocks=2)
    large = CollapsibleResidual(scale, features=8 + wider, blocks=2 + deeper, convs=2, expand=16).double()
    found = large.initial_state_from((small.folded() if folded else small).state_dict())
    if found is None:
        assert not (wider or deeper or folded)
        return
    assert ("features" in found[1], "blocks" in found[1]) == (wider > 0, deeper > 0)
    large.load_state_dict(found[0])
    image = torch.rand(1, 3, 8, 12, dtype=torch.float64)
    with torch.no_grad():
        result = small(image)
        assert torch.allclose(large(image), result, rtol=1e-5, atol=1e-5 * float(result.abs().max()))


def test_the_new_channels_and_blocks_of_a_grown_network_learn() -> None:
    small = CollapsibleResidual(2, features=8, blocks=2, convs=2, expand=16)
    large = CollapsibleResidual(2, features=12, blocks=3, convs=2, expand=16)
    found = large.initial_state_from(small.state_dict())
    assert found is not None
    large.load_state_dict(found[0])
    optimiser = torch.optim.SGD(large.parameters(), 0.1)
    before = {name: value.clone() for name, value in large.state_dict().items()}
    for _ in range(2):
        optimiser.zero_grad()
        large(torch.rand(1, 3, 8, 8)).square().mean().backward()
        optimiser.step()
    same = [name for name, value in large.named_parameters() if torch.equal(value, before[name])]
    assert not same


def test_a_network_does_not_shrink() -> None:
    network = CollapsibleResidual(scale=2, features=8, blocks=2, convs=2, expand=16)
    for features, blocks, convs in ((12, 2, 2), (8, 3, 2), (8, 2, 3)):
        other = Residual(scale=2, features=features, blocks=blocks, convs=convs)
        with pytest.raises(CheckpointError, match="can get more features and blocks"):
            network.initial_state_from(other.state_dict())


def test_another_network_is_not_converted() -> None:
    network = CollapsibleResidual(scale=2, features=8, blocks=2, convs=2, expand=16)
    assert network.initial_state_from(Compact(2, 8, 2).state_dict()) is None


def test_scale_1_works_at_half_resolution_and_starts_from_the_picture_itself() -> None:
    network = CollapsibleResidual(scale=1, features=32, blocks=2, convs=2, expand=16)
    image = torch.rand(1, 3, 16, 24)
    with torch.no_grad():
        assert 0 < float((network(image) - image).abs().mean()) < 0.1
    assert network.first.kernel()[0].shape == (32, 12, 3, 3) and network.multiple == network.folded().multiple == 2
    with pytest.raises(ValueError, match="multiples of 2, but the picture is 15 x 24"):
        network(image[:, :, 1:])


@pytest.mark.parametrize(("theirs", "ours"), [(4, 1), (2, 1), (1, 4), (1, 2)])
def test_between_scale_1_and_others_the_body_sees_the_same_picture(theirs: int, ours: int) -> None:
    trained = CollapsibleResidual(theirs, features=8, blocks=2, convs=2, expand=16)
    network = CollapsibleResidual(ours, features=8, blocks=2, convs=2, expand=16)
    last = network.last.weight.clone()
    for state in (trained.state_dict(), trained.folded().state_dict()):
        found = network.initial_state_from(state)
        assert found is not None and "another scale" in found[1]
        network.load_state_dict(found[0])
        assert torch.equal(network.last.weight, last)
        small = torch.rand(1, 3, 9, 7)
        large = F.interpolate(small, scale_factor=2.0)
        given, seen = (large, small) if theirs == 1 else (small, large)
        found_features, features = network._shallow(seen), trained._shallow(given)
        # A zero pad is black at one scale and grey at the other.
        found_features, features = (whole[:, :, 1:-1, 1:-1] for whole in (found_features, features))
        torch.testing.assert_close(found_features, features, atol=1e-4, rtol=1e-4)
        torch.testing.assert_close(network.blocks[1](found_features), trained.blocks[1](features), atol=1e-5, rtol=1e-4)
