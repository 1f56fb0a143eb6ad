"""Compact networks that start from smaller ones: they compute the same, and their new channels learn."""

from collections.abc import Callable

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor, nn
from torch.nn import functional as F

from img2img.errors import CheckpointError
from img2img.networks import grow
from img2img.networks.collapsible import CollapsibleCompact
from img2img.networks.compact import Compact

MAKERS: list[Callable[..., nn.Module]] = [Compact, CollapsibleCompact]


def perturb(network: nn.Module, seed: int = 0) -> nn.Module:
    """Change every weight a little, as training would, and return `network`."""
    torch.manual_seed(seed)
    for parameter in network.parameters():
        parameter.data += 0.1 * torch.rand_like(parameter) - 0.05
    return network


def start_from(network: nn.Module, state: dict[str, Tensor]) -> str:
    """Load what `network` makes of `state`; return the description of the growth."""
    found = network.initial_state_from(state)  # type: ignore[operator]
    assert found is not None
    weights, growth = found
    network.load_state_dict(weights)
    return str(growth)


def difference(a: nn.Module, b: nn.Module, channels: int = 3) -> float:
    image = torch.rand(1, channels, 9, 12, generator=torch.Generator().manual_seed(1))
    with torch.no_grad():
        return float((a(image) - b(image)).abs().max())


@settings(deadline=None, max_examples=25)
@given(
    st.integers(1, 6),
    st.integers(0, 4),
    st.integers(0, 5),
    st.integers(0, 5),
    st.integers(1, 4),
    st.sampled_from((1, 3)),
    st.sampled_from(MAKERS),
)
def test_a_grown_network_computes_the_same_as_the_smaller_one(
    features: int, convs: int, wider: int, deeper: int, scale: int, channels: int, maker: Callable[..., nn.Module]
) -> None:
    small = perturb(Compact(scale, features, convs, channels), features)
    large = maker(scale, features + wider, convs + deeper, channels)
    growth = start_from(large, small.state_dict())
    assert difference(small, large, channels) < 1e-5
    assert (
        ("features" in growth) == (wider > 0)
        and ("convolutions" in growth) == (deeper > 0)
        and bool(growth) == bool(wider or deeper)
    )


def test_old_layers_are_spread_evenly_and_the_growth_is_described() -> None:
    small, large = perturb(Compact(2, 4, 3)), Compact(2, 6, 5)
    assert start_from(large, small.state_dict()) == "grows from 4 to 6 features and from 3 to 5 convolutions"
    state, old = large.state_dict(), small.state_dict()
    for ours, theirs in {0: 0, 2: 2, 6: 4, 10: 6, 12: 8}.items():  # every second hidden layer is new
        kernel = old[f"body.{theirs}.weight"]
        assert torch.equal(state[f"body.{ours}.weight"][: kernel.shape[0], : kernel.shape[1]], kernel)
        assert not state[f"body.{ours}.weight"][: kernel.shape[0], kernel.shape[1] :].any()
    for new in (4, 8):
        assert torch.equal(state[f"body.{new}.weight"][:4, :4, 1, 1], torch.eye(4))
        assert state[f"body.{new + 1}.weight"].tolist() == [1, 1, 1, 1, 0.25, 0.25]
    assert start_from(Compact(2, 4, 5), small.state_dict()) == "grows from 3 to 5 convolutions"


@pytest.mark.parametrize("maker", MAKERS)
def test_new_channels_do_not_stay_dead(maker: Callable[..., nn.Module]) -> None:
    small, large = perturb(Compact(2, 4, 2)), maker(2, 7, 4)
    start_from(large, small.state_dict())
    optimiser = torch.optim.SGD(large.parameters(), 0.1)
    image, truth = torch.rand(2, 3, 12, 12), torch.rand(2, 3, 24, 24)
    for step in range(3):
        optimiser.zero_grad()
        F.mse_loss(large(image), truth).backward()
        kernels = [
            layer.direct.weight if hasattr(layer, "direct") else layer.weight
            for layer in large.body  # type: ignore[union-attr]
            if not isinstance(layer, nn.PReLU)
        ]
        outgoing = kernels[-1].grad[:, 4:]
        incoming = torch.cat([kernel.grad[4:].flatten(1) for kernel in kernels[1:-1]])
        assert (outgoing.flatten(2).abs().sum((0, 2)) > 0).all(), "the last layer learns to use the new channels"
        # At the first step no layer uses the new channels. They get no gradient, apart from rounding with branches.
        gradients = incoming.abs().sum(1)
        assert (gradients > 1e-7).all() if step else (gradients < 1e-7).all()
        optimiser.step()


def test_a_collapsible_network_starts_from_a_plain_or_a_smaller_collapsible_one() -> None:
    plain, branched = perturb(Compact(2, 5, 2)), CollapsibleCompact(2, 5, 2, expand=9)
    assert start_from(branched, plain.state_dict()) == "" and difference(plain, branched) < 1e-5
    assert all(
        torch.allclose(a, b, atol=1e-6) for a, b in zip(branched.folded().parameters(), plain.parameters(), strict=True)
    )
    small, large = perturb(CollapsibleCompact(2, 3, 1, expand=4)), CollapsibleCompact(2, 5, 2, expand=9)
    assert start_from(large, small.state_dict()) == "grows from 3 to 5 features and from 1 to 2 convolutions"
    assert difference(small, large) < 1e-5
    assert large.initial_state_from(branched.state_dict()) is None, "a state in its own layout loads directly"


@pytest.mark.parametrize("maker", MAKERS)
def test_larger_networks_other_scales_and_other_channels_are_rejected(maker: Callable[..., nn.Module]) -> None:
    state = Compact(2, 4, 2).state_dict()
    for sizes, message in (
        ((2, 3, 2), r"it has 4 features and 2 convolutions, this network 3 and 2; a network can grow but not shrink"),
        ((2, 8, 1), r"this network 8 and 1"),
        ((4, 4, 2), r"pictures with 3 channels x2, this network those with 3 channels x4"),
        ((4, 4, 2, 1), r"this network those with 1 channels x4"),
    ):
        with pytest.raises(CheckpointError, match=message):
            maker(*sizes).initial_state_from(state)


@pytest.mark.parametrize("maker", MAKERS)
def test_weights_of_other_networks_give_no_initial_state(maker: Callable[..., nn.Module]) -> None:
    state = Compact(2, 4, 2).state_dict()
    network = maker(2, 6, 3)
    for other in (
        {},
        {"weight": torch.zeros(3)},
        {key: value for key, value in state.items() if key != "body.3.weight"},
        state | {"more": torch.zeros(1)},
        state | {"body.2.weight": torch.zeros(4, 4, 5, 5)},
        state | {"body.1.weight": torch.zeros(1)},
        CollapsibleCompact(2, 4, 2).state_dict() | {"body.0.narrow.weight": torch.zeros(2)},
        {k: v for k, v in CollapsibleCompact(2, 4, 2).state_dict().items() if k != "body.2.widen.weight"},
    ):
        assert network.initial_state_from(other) is None  # type: ignore[operator]


def test_growing_does_not_change_the_source() -> None:
    small = perturb(Compact(2, 4, 2))
    before = {key: value.clone() for key, value in small.state_dict().items()}
    start_from(Compact(2, 6, 3), small.state_dict())
    assert all(torch.equal(before[key], value) for key, value in small.state_dict().items())
    assert grow.size_of(before) == grow.Size(features=4, convs=2, channels=3, outputs=12)
