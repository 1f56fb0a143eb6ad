"""Norms by name and adaptive instance norm."""

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from img2img import networks
from img2img.networks.adain import AdaIN, AdaINBlock, StyleStatistics, adain, statistics
from img2img.networks.norms import norm_layer
from tests.networks.onnx_results import largest_difference, session_of


def by_hand(content: np.ndarray, mean: float, deviation: float) -> np.ndarray:
    """Equation 8 of Huang and Belongie 2017 for one channel."""
    result: np.ndarray = deviation * (content - content.mean()) / np.sqrt(content.var() + 1e-5) + mean
    return result


def test_layer_norm_normalises_each_picture_over_channels_and_places() -> None:
    layer = norm_layer("layer", 3)
    nn.init.uniform_(layer.weight)  # type: ignore[arg-type]
    nn.init.uniform_(layer.bias)  # type: ignore[arg-type]
    hidden = torch.randn(2, 3, 4, 5) * 3 + 1
    result = layer(hidden)
    for picture, normalised in zip(hidden, result, strict=True):
        whole = (picture - picture.mean()) / torch.sqrt(picture.var(correction=0) + 1e-5)
        expected = torch.stack([whole[c] * layer.weight[c] + layer.bias[c] for c in range(3)])  # type: ignore[index]
        torch.testing.assert_close(normalised, expected)


@pytest.mark.parametrize("name", ["unet", "resnet", "patchgan", "dcgan", "vgg-style", "pix2pixhd", "multi-scale"])
def test_networks_accept_layer_norm(name: str) -> None:
    size = {"size": 32} if name in ("dcgan", "vgg-style") else {}
    more = {"downs": 3} if name in ("unet", "pix2pixhd") else {}
    network = networks.build(name, features=4, norm="layer", **size, **more)
    assert any(isinstance(module, nn.GroupNorm) for module in network.modules())
    result = network(torch.rand(1, 3, 32, 32))
    assert all(part.isfinite().all() for part in (result if isinstance(result, list) else [result]))


def test_adain_gives_every_channel_the_statistics_of_the_style() -> None:
    content = torch.randn(2, 3, 4, 5)
    mean, deviation = torch.randn(2, 3), torch.rand(2, 3)
    result = adain(content, mean, deviation)
    for n in range(2):
        for c in range(3):
            expected = by_hand(content[n, c].numpy(), float(mean[n, c]), float(deviation[n, c]))
            assert np.allclose(result[n, c], expected, atol=1e-5)


def test_statistics_of_reference_features_are_transferred() -> None:
    content, reference = torch.randn(2, 3, 6, 5), torch.randn(2, 3, 4, 9) * 2 + 3
    result = adain(content, *statistics(reference))
    torch.testing.assert_close(result.mean((2, 3)), reference.mean((2, 3)), atol=1e-4, rtol=1e-4)
    torch.testing.assert_close(result.std((2, 3), correction=0), reference.std((2, 3), correction=0), rtol=1e-3, atol=0)


def test_statistics_of_flat_features_have_a_finite_gradient() -> None:
    flat = torch.ones(1, 2, 3, 3, requires_grad=True)
    statistics(flat)[1].sum().backward()
    assert flat.grad is not None and flat.grad.isfinite().all()


def test_the_layer_computes_the_statistics_from_a_style_vector() -> None:
    layer = AdaIN(3, style=2)
    content, style = torch.randn(1, 3, 4, 4), torch.randn(1, 2)
    numbers = (layer.linear.weight @ style[0] + layer.linear.bias).tolist()
    expected = [by_hand(content[0, c].numpy(), numbers[c], 1 + numbers[3 + c]) for c in range(3)]
    assert np.allclose(layer(content, style)[0].detach(), np.stack(expected), atol=1e-5)


def test_a_block_with_zero_statistics_is_a_block_with_instance_norm() -> None:
    torch.manual_seed(0)
    block, hidden = AdaINBlock(4), torch.randn(2, 4, 5, 6)
    instance = nn.InstanceNorm2d(4)
    expected = hidden + instance(block.conv2(torch.relu(instance(block.conv1(hidden)))))
    torch.testing.assert_close(block(hidden, torch.zeros(2, 16)), expected)


def test_the_parts_of_the_statistics_go_where_the_docstring_says() -> None:
    torch.manual_seed(0)
    block, hidden = AdaINBlock(2), torch.randn(1, 2, 5, 5)
    given = torch.tensor([[0.0, 0, 0, 0, 7, 8, 1, 2]])
    change = (block(hidden, given) - hidden).detach()
    torch.testing.assert_close(change.mean((2, 3)), torch.tensor([[7.0, 8]]), rtol=1e-4, atol=1e-4)
    torch.testing.assert_close(change.std((2, 3), correction=0), torch.tensor([[2.0, 3]]), rtol=1e-2, atol=0)
    assert not torch.allclose(
        block(hidden, torch.ones(1, 8)), block(hidden, torch.tensor([[0.0, 0, 0, 0, 1, 1, 1, 1]]))
    )


class Decoder(nn.Module):
    """Two blocks and the network that computes their statistics."""

    def __init__(self) -> None:
        super().__init__()
        self.statistics = StyleStatistics(style=3, features=4, blocks=2, hidden=8)
        self.blocks = nn.ModuleList([AdaINBlock(4), AdaINBlock(4)])

    def forward(self, hidden: Tensor, style: Tensor) -> Tensor:
        for block, numbers in zip(self.blocks, self.statistics(style), strict=True):
            hidden = block(hidden, numbers)
        return hidden


def test_one_network_computes_the_statistics_of_all_blocks() -> None:
    network = StyleStatistics(style=3, features=4, blocks=2, hidden=8)
    parts = network(torch.randn(5, 3))
    assert [part.shape for part in parts] == [(5, 16), (5, 16)]
    widths = [layer.out_features for layer in StyleStatistics(8, 16, 4).layers if isinstance(layer, nn.Linear)]
    assert widths == [256, 256, 4 * 16 * 4]


def test_blocks_with_adain_export_with_dynamic_sizes() -> None:
    torch.manual_seed(0)
    network = Decoder()
    session = session_of(network, (torch.rand(2, 4, 8, 9), torch.rand(2, 3)))
    for n, size in ((1, (8, 9)), (3, (5, 12))):
        assert largest_difference(network, session, [torch.rand(n, 4, *size), torch.randn(n, 3)]) < 1e-4
