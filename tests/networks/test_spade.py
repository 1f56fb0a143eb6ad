"""SPADE: the norm, the block and the generator."""

from typing import Any

import numpy as np
import pytest
import torch
from torch.nn import functional as F

from img2img import networks
from img2img.errors import ConfigError
from img2img.networks.norms import inference_copy
from img2img.networks.spade import SPADE, SPADEBlock, SPADEGenerator
from tests.networks.onnx_results import largest_difference, session_of

TINY: dict[str, Any] = {"inputs": 3, "features": 2, "hidden": 4, "ups": 4}


def label_map(n: int, height: int, width: int, classes: int = 3) -> torch.Tensor:
    drawn = torch.randint(0, classes, (n, height // 4, width // 4), generator=torch.Generator().manual_seed(0))
    large = drawn.repeat_interleave(4, 1).repeat_interleave(4, 2)
    return F.one_hot(large, classes).permute(0, 3, 1, 2).float()


@torch.no_grad()
@pytest.mark.parametrize("norm", ["batch", "instance"])
def test_scale_and_offset_of_every_place_come_from_the_label_map(norm: str) -> None:
    torch.manual_seed(0)
    layer = SPADE(2, labels=3, hidden=5, norm=norm)
    features, labels = torch.randn(2, 2, 4, 3) * 2 + 1, label_map(2, 16, 12)
    small = labels[:, :, ::4, ::4]
    shared = F.relu(F.conv2d(small, layer.mlp_shared[0].weight, layer.mlp_shared[0].bias, padding=1))
    gamma = F.conv2d(shared, layer.mlp_gamma.weight, layer.mlp_gamma.bias, padding=1).numpy()
    beta = F.conv2d(shared, layer.mlp_beta.weight, layer.mlp_beta.bias, padding=1).numpy()
    result, given = layer(features, labels).numpy(), features.numpy()
    for n in range(2):
        for c in range(2):
            over = given[:, c] if norm == "batch" else given[n, c]
            normalised = (given[n, c] - over.mean()) / np.sqrt(over.var() + 1e-5)
            assert np.allclose(result[n, c], normalised * (1 + gamma[n, c]) + beta[n, c], atol=1e-5)


@torch.no_grad()
def test_a_block_adds_two_convolutions_to_its_input() -> None:
    torch.manual_seed(0)
    block, labels = SPADEBlock(6, 4, labels=3, hidden=5), label_map(2, 8, 8)
    features = torch.randn(2, 6, 4, 4)
    first = block.conv_0(F.leaky_relu(block.norm_0(features, labels), 0.2))
    second = block.conv_1(F.leaky_relu(block.norm_1(first, labels), 0.2))
    torch.testing.assert_close(block(features, labels), block.conv_s(block.norm_s(features, labels)) + second)
    assert first.shape == (2, 4, 4, 4) and block.conv_s.bias is None
    same = SPADEBlock(4, 4, labels=3, hidden=5)
    assert not hasattr(same, "conv_s") and not hasattr(same, "norm_s")
    for parameter in same.conv_1.parameters():
        torch.nn.init.zeros_(parameter)
    assert torch.equal(same(features[:, :4], labels), features[:, :4])


def test_the_state_dict_has_the_published_names() -> None:
    keys = set(SPADEGenerator(**TINY).state_dict())
    for key in (
        "fc.weight",
        "head_0.conv_0.weight",
        "head_0.norm_0.mlp_shared.0.weight",
        "head_0.norm_1.mlp_gamma.bias",
        "head_0.norm_0.param_free_norm.running_mean",
        "G_middle_1.conv_1.bias",
        "up_0.conv_s.weight",
        "up_3.norm_s.mlp_beta.weight",
        "conv_img.bias",
    ):
        assert key in keys
    assert "up_4.conv_0.weight" not in keys
    assert "up_4.conv_0.weight" in SPADEGenerator(**{**TINY, "features": 4, "ups": 7}).state_dict()


def test_the_published_network_has_the_published_size() -> None:
    with torch.device("meta"):
        network = networks.build("spade", inputs=36)
    widths = [block.conv_1.out_channels for block in network.modules() if isinstance(block, SPADEBlock)]
    assert widths == [1024, 1024, 1024, 512, 256, 128, 64]
    assert 92e6 < sum(parameter.numel() for parameter in network.parameters()) < 94e6


@pytest.mark.parametrize("ups", [4, 5, 6, 7])
def test_the_result_has_the_size_of_the_label_map(ups: int) -> None:
    network = networks.build("spade", **{**TINY, "ups": ups}, outputs=1)
    assert (network.multiple, network.minimum) == (2**ups, 2 ** (ups + 1))
    size = (2 ** (ups + 1), 3 * 2**ups)
    result = network(label_map(1, *size))
    assert result.shape == (1, 1, *size) and result.abs().max() <= 1
    with pytest.raises(ValueError, match=f"spade with {ups} ups needs sides that are multiples of {2**ups}"):
        network(label_map(1, 2**ups + 4, 2 ** (ups + 1)))


def test_every_parameter_gets_a_gradient_and_labels_matter_everywhere() -> None:
    torch.manual_seed(0)
    network = SPADEGenerator(**{**TINY, "features": 4})
    labels = label_map(2, 32, 48)
    result = network(labels)
    (result * torch.randn_like(result)).sum().backward()
    for key, parameter in network.named_parameters():
        if key.endswith(("conv_0.bias", "fc.bias")):
            continue  # the batch norm that follows removes most of it
        assert parameter.grad is not None and parameter.grad.abs().sum() > 0, key


def test_impossible_options_are_refused() -> None:
    with pytest.raises(ConfigError, match="spade: ups = 3 must be between 4 and 7"):
        networks.build("spade", ups=3)
    with pytest.raises(ConfigError, match="spade: unknown norm 'layer'; choose from batch, instance"):
        networks.build("spade", norm="layer")


def test_the_exported_generator_equals_torch_at_dynamic_sizes() -> None:
    torch.manual_seed(0)
    network = networks.build("spade", **TINY)
    for _ in range(3):
        network(label_map(2, 32, 32))  # running statistics
    copied = inference_copy(network, "running")
    session = session_of(copied, (label_map(2, 32, 48),), multiple=16)
    for n, size in ((1, (32, 48)), (2, (64, 32))):
        assert largest_difference(copied, session, [label_map(n, *size)]) < 1e-4
