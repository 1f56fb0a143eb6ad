"""Self-attention, as a layer and as an option of networks."""

from typing import Any

import numpy as np
import pytest
import torch
from torch import nn

from img2img import networks
from img2img.errors import ConfigError
from img2img.networks.attention import SelfAttention
from tests.networks.onnx_results import largest_difference, session_of

NETWORKS: list[tuple[str, dict[str, Any]]] = [
    ("resnet", {"features": 4, "blocks": 1}),
    ("unet", {"features": 4, "downs": 2, "dropout": False}),
    ("unet", {"features": 4, "downs": 4, "norm": "instance"}),
    ("unet", {"features": 4, "downs": 3, "residual": True, "norm": "none"}),
    ("patchgan", {"features": 4, "layers": 2, "norm": "none"}),
]
EXPORTED = [("resnet", {"features": 4, "blocks": 1, "norm": "layer"}), NETWORKS[2]]


def awake(network: nn.Module) -> nn.Module:
    """Set gamma to 1: at the start it is 0, and attention has no effect."""
    for module in network.modules():
        if isinstance(module, SelfAttention):
            nn.init.ones_(module.gamma)
    return network


@torch.no_grad()
def test_it_equals_the_equations_of_the_paper_place_by_place() -> None:
    torch.manual_seed(0)
    layer = SelfAttention(16)
    layer.gamma.fill_(0.7)
    hidden = torch.randn(1, 16, 3, 2)
    places = [hidden[0, :, row, column].numpy() for row in range(3) for column in range(2)]

    def transform(part: nn.Conv2d, values: np.ndarray) -> np.ndarray:
        assert part.bias is not None
        product: np.ndarray = part.weight[:, :, 0, 0].numpy() @ values + part.bias.numpy()
        return product

    expected = []
    for x_j in places:
        s = np.array([transform(layer.f, x_i) @ transform(layer.g, x_j) for x_i in places])
        beta = np.exp(s) / np.exp(s).sum()
        o = transform(layer.v, sum(b * transform(layer.h, x_i) for b, x_i in zip(beta, places, strict=True)))
        expected.append(0.7 * o + x_j)
    assert np.allclose(layer(hidden)[0].flatten(1).T, np.stack(expected), atol=1e-5)


def test_an_untrained_layer_returns_its_input() -> None:
    hidden = torch.randn(2, 8, 4, 4)
    assert torch.equal(SelfAttention(8)(hidden), hidden)


def test_channels_are_narrowed_as_published() -> None:
    layer = SelfAttention(64)
    assert [part.out_channels for part in (layer.f, layer.g, layer.h, layer.v)] == [8, 8, 32, 64]
    assert SelfAttention(2).f.out_channels == 1


@pytest.mark.parametrize(("name", "options"), NETWORKS, ids=str)
def test_it_runs_once_on_maps_of_a_quarter_of_the_size_or_less(name: str, options: dict[str, Any]) -> None:
    network = networks.build(name, **options, attention=True)
    (layer,) = (module for module in network.modules() if isinstance(module, SelfAttention))
    seen: list[torch.Size] = []
    layer.register_forward_pre_hook(lambda module, given: seen.append(given[0].shape))
    network(torch.rand(1, 3, 64, 32))
    assert len(seen) == 1 and seen[0][2] <= 16 and seen[0][3] <= 8
    assert min(seen[0][2:]) > 1


@pytest.mark.parametrize(("name", "options"), NETWORKS, ids=str)
def test_every_parameter_gets_a_gradient_once_gamma_has_grown(name: str, options: dict[str, Any]) -> None:
    torch.manual_seed(0)
    network = awake(networks.build(name, **options, attention=True))
    result = network(torch.rand(2, 3, 32, 32))
    (result * torch.randn_like(result)).sum().backward()
    for key, parameter in network.named_parameters():
        if key.endswith("f.bias"):
            continue  # the softmax does not change if all of its arguments rise
        assert parameter.grad is not None and parameter.grad.abs().sum() > 0, key


@pytest.mark.parametrize(("name", "options"), NETWORKS, ids=str)
def test_without_the_option_nothing_changes(name: str, options: dict[str, Any]) -> None:
    plain, off = networks.build(name, **options), networks.build(name, **options, attention=False)
    assert list(plain.state_dict()) == list(off.state_dict())
    torch.manual_seed(0)
    with_attention = networks.build(name, **options, attention=True)
    assert len(with_attention.state_dict()) == len(plain.state_dict()) + 9


def test_gradient_penalties_have_second_derivatives() -> None:
    network = awake(networks.build("patchgan", features=4, layers=2, norm="none", attention=True)).double()
    picture = torch.rand(1, 3, 16, 16, dtype=torch.float64, requires_grad=True)
    (slope,) = torch.autograd.grad(network(picture).sum(), picture, create_graph=True)
    slope.square().sum().backward()
    (layer,) = (module for module in network.modules() if isinstance(module, SelfAttention))
    assert layer.f.weight.grad is not None and layer.f.weight.grad.abs().sum() > 0


def test_a_patchgan_that_halves_once_has_no_map_small_enough() -> None:
    with pytest.raises(ConfigError, match="patchgan: attention needs layers = 2 or more"):
        networks.build("patchgan", layers=1, attention=True)


@pytest.mark.parametrize(("name", "options"), EXPORTED, ids=str)
def test_the_exported_generator_equals_torch_at_dynamic_sizes(name: str, options: dict[str, Any]) -> None:
    torch.manual_seed(0)
    network = awake(networks.build(name, **options, attention=True))
    multiple = network.multiple
    assert isinstance(multiple, int)
    session = session_of(network, (torch.rand(2, 3, 32, 48),), multiple=multiple)
    for size in ((32, 48), (48, 16), (64, 80)):
        assert largest_difference(network, session, [torch.rand(1, 3, *size) * 2 - 1]) < 1e-4
