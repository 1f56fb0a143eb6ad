"""BicycleGAN's networks: the U-Net with a code at every level, the encoder and the discriminator at two scales."""

import pytest
import torch

from img2img import networks
from img2img.errors import ConfigError
from img2img.networks.latent_unet import LatentLevel
from tests.networks.onnx_results import largest_difference, session_of


def test_the_keys_of_the_u_net_are_the_official_ones() -> None:
    shapes = {k: tuple(v.shape) for k, v in networks.build("latent-unet", features=4, downs=3).state_dict().items()}
    assert shapes["model.down.0.weight"] == (4, 3 + 8, 4, 4)
    assert shapes["model.submodule.down.1.weight"] == (8, 4 + 8, 4, 4)
    assert shapes["model.submodule.submodule.down.1.weight"] == (16, 8 + 8, 4, 4)
    assert shapes["model.submodule.submodule.up.1.weight"] == (16, 8, 4, 4)
    assert shapes["model.submodule.up.1.weight"] == (16, 4, 4, 4)
    assert shapes["model.up.1.weight"] == (8, 3, 4, 4)


def test_the_code_is_an_input_of_every_level() -> None:
    network = networks.build("latent-unet", latent=3, features=4, downs=3)
    image, code = torch.randn(1, 3, 16, 16), torch.randn(1, 3, requires_grad=True)
    levels = [part for part in network.modules() if isinstance(part, LatentLevel)]
    assert len(levels) == 3
    result = network(image, code)
    for level in levels:
        convolution = next(part for part in level.down if isinstance(part, torch.nn.Conv2d))
        (gradient,) = torch.autograd.grad(result.sum(), [convolution.weight], retain_graph=True)
        assert gradient[:, -3:].abs().max() > 0


@pytest.mark.parametrize("norm", ["instance", "batch", "none"])
def test_the_exported_u_net_equals_the_network(norm: str) -> None:
    network = networks.build("latent-unet", latent=3, features=4, downs=3, norm=norm)
    session = session_of(network, (torch.rand(2, 3, 16, 24), torch.rand(2, 3)), multiple=8)
    for n, size in ((1, (16, 24)), (3, (32, 8))):
        assert largest_difference(network, session, [torch.rand(n, 3, *size), torch.randn(n, 3)]) < 1e-4


def test_wrong_codes_sizes_and_depths_are_refused() -> None:
    network = networks.build("latent-unet", features=4, downs=3)
    with pytest.raises(ValueError, match="the latent code must have 8 numbers, not 2"):
        network(torch.rand(1, 3, 8, 8), torch.rand(1, 2))
    with pytest.raises(ValueError, match="multiples of 8"):
        network(torch.rand(1, 3, 12, 8), torch.rand(1, 8))
    with pytest.raises(ConfigError, match="downs = 11 must be between 2 and 10"):
        networks.build("latent-unet", downs=11)


def test_the_encoder_has_the_official_layout_and_takes_any_size() -> None:
    network = networks.build("residual-encoder", features=4)
    shapes = {k: tuple(v.shape) for k, v in network.state_dict().items()}
    assert shapes["conv.0.weight"] == (4, 3, 4, 4)
    assert [shapes[f"conv.{n}.shortcut.1.weight"][0] for n in (1, 2, 3, 4)] == [8, 12, 16, 16]
    assert shapes["conv.1.conv.2.weight"] == (4, 4, 3, 3) and shapes["conv.1.conv.5.0.weight"] == (8, 4, 3, 3)
    assert shapes["fc.0.weight"] == shapes["fcVar.0.weight"] == (8, 16)
    for size in ((32, 32), (64, 96)):
        mean, log_variance = network(torch.rand(2, 3, *size))
        assert mean.shape == log_variance.shape == (2, 8)
    with pytest.raises(ValueError, match="multiples of 32"):
        network(torch.rand(1, 3, 48, 32))
    with pytest.raises(ConfigError, match="blocks = 9 must be between 1 and 8"):
        networks.build("residual-encoder", blocks=9)


def test_each_scale_of_the_discriminator_is_half_as_wide_and_sees_half_the_size() -> None:
    network = networks.build("multi-patchgan", features=8, layers=2)
    shapes = {k: tuple(v.shape) for k, v in network.state_dict().items()}
    assert shapes["model0.0.weight"] == (8, 3, 4, 4) and shapes["model1.0.weight"] == (4, 3, 4, 4)
    image = torch.rand(1, 3, 64, 64)
    fine, coarse = network(image)
    assert fine.shape == (1, 1, 14, 14) and coarse.shape == (1, 1, 6, 6)
    halved = torch.nn.functional.avg_pool2d(image, 3, 2, 1, count_include_pad=False)
    assert torch.equal(coarse, network.model1(halved))
    assert network.minimum == 24
    network(torch.rand(1, 3, 24, 24))
    with pytest.raises(ValueError, match="sides of 24 or more"):
        network(torch.rand(1, 3, 20, 24))
    with pytest.raises(ConfigError, match="scales = 0 must be at least 1"):
        networks.build("multi-patchgan", scales=0)
