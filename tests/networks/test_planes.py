"""Vectors as constant planes: latent codes as a second input of a generator."""

import pytest
import torch

from img2img import networks
from img2img.networks.planes import LatentInput, append_planes
from tests.networks.onnx_results import largest_difference, session_of


def generator(latent: int = 3) -> LatentInput:
    torch.manual_seed(0)
    return LatentInput(networks.build("unet", inputs=3 + latent, features=4, downs=3), latent)


def test_every_number_becomes_a_constant_plane_after_the_picture() -> None:
    image, code = torch.rand(2, 3, 4, 5), torch.tensor([[1.0, 2], [3, 4]])
    result = append_planes(image, code)
    assert result.shape == (2, 5, 4, 5)
    assert torch.equal(result[:, :3], image)
    for n in range(2):
        for i in range(2):
            assert (result[n, 3 + i] == code[n, i]).all()


def test_the_code_changes_the_result_and_nothing_is_random() -> None:
    network = generator().eval()
    image, code = torch.rand(1, 3, 16, 16), torch.randn(1, 3)
    assert torch.equal(network(image, code), network(image, code))
    assert not torch.allclose(network(image, code), network(image, -code))


def test_the_generator_gets_picture_and_planes() -> None:
    network = generator().eval()
    image, code = torch.rand(2, 3, 16, 8), torch.randn(2, 3)
    assert torch.equal(network(image, code), network.generator(append_planes(image, code)))


def test_sizes_are_those_of_the_generator() -> None:
    network = generator()
    assert (network.multiple, network.minimum, network.latent) == (8, 8, 3)


def test_a_code_of_another_length_is_refused() -> None:
    with pytest.raises(ValueError, match="the latent code must have 3 numbers, not 2"):
        generator()(torch.rand(1, 3, 8, 8), torch.rand(1, 2))


def test_the_exported_generator_takes_picture_and_code_of_any_batch_and_size() -> None:
    network = generator()
    session = session_of(network, (torch.rand(2, 3, 16, 24), torch.rand(2, 3)), multiple=8)
    assert [one.name for one in session.get_inputs()] == ["image", "latent"]
    for n, size in ((1, (16, 24)), (3, (32, 8))):
        assert largest_difference(network, session, [torch.rand(n, 3, *size), torch.randn(n, 3)]) < 1e-4
