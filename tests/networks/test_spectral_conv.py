"""The convolution with spectral norm against torch's own hook."""

import pytest
import torch
from torch import nn

from img2img.networks.spectral_conv import SpectralConv2d


def test_spectral_conv_equals_torchs_hook() -> None:
    ours = SpectralConv2d(3, 5, 3, 2, 1)
    hooked = torch.nn.utils.spectral_norm(nn.Conv2d(3, 5, 3, 2, 1))
    assert list(ours.state_dict()) == list(hooked.state_dict())
    hooked.load_state_dict(ours.state_dict())
    image = torch.randn(2, 3, 9, 9)
    for _ in range(3):  # the singular vectors change in the same way
        expected, result = hooked(image), ours(image)
        assert torch.allclose(result, expected, atol=1e-6)
    (expected.square().sum()).backward()
    (result.square().sum()).backward()
    assert torch.allclose(ours.weight_orig.grad, hooked.weight_orig.grad, atol=1e-4)  # type: ignore[arg-type]
    assert torch.allclose(ours.weight_u, hooked.weight_u, atol=1e-6)
    before = ours.weight_u.clone()
    ours.eval()(image)
    assert torch.equal(ours.weight_u, before)


def test_spectral_conv_converges_to_norm_one() -> None:
    convolution = SpectralConv2d(4, 8, 3)
    for _ in range(200):
        kernel = convolution.normalised()
    assert torch.linalg.matrix_norm(kernel.detach().flatten(1), 2).item() == pytest.approx(1, abs=1e-3)
