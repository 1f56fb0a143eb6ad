"""Our networks are the published ones: official state dicts load, and give the stored outputs."""

from typing import Any

import numpy as np
import pytest
import torch
from shared_data import reference_module
from torch import Tensor, nn

from img2img import networks
from img2img.networks.rrdb import from_2018


def official(name: str, network: str, **options: Any) -> tuple[nn.Module, list[Tensor], list[np.ndarray]]:
    """Our network with the official weights, the stored inputs, the stored outputs."""
    fill = reference_module()
    state = {key: torch.from_numpy(values) for key, values in fill.weights(name).items()}
    inputs, outputs = fill.reference(name)
    with torch.device("meta"):  # the weights are given; drawing 182 million more would take longer than the test
        model = networks.build(network, **options)
    if name == "esrgan_rrdbnet_2018_keys":
        state = from_2018(state)
    assert list(model.state_dict()) == list(state)
    model.load_state_dict(state, assign=True)
    return model.eval(), [torch.from_numpy(values) for values in inputs], outputs


def assert_equal(ours: Tensor, theirs: np.ndarray) -> None:
    assert ours.shape == theirs.shape
    spread = np.ptp(theirs) if theirs.size > 1 else abs(theirs.item())
    assert np.abs(ours.numpy() - theirs).max() < 1e-4 * spread


GOLDEN = {
    "esrgan_rrdbnet_2018_keys": ("rrdb", {"scale": 4}),
    "vgg_style_discriminator_128": ("vgg-style", {"size": 128}),
    "unet_discriminator_sn": ("unet-discriminator", {}),
    "context_encoder_center_128": ("context-encoder", {}),
    "pix2pixhd_global": ("pix2pixhd", {}),
}


@pytest.mark.parametrize("name", GOLDEN)
@torch.no_grad()
def test_network_equals_the_official_code(name: str) -> None:
    network, options = GOLDEN[name]
    model, inputs, (theirs,) = official(name, network, **options)
    assert_equal(model(*inputs), theirs)


@torch.no_grad()
def test_every_layer_of_the_multi_scale_discriminator_equals_the_official_code() -> None:
    model, (image,), theirs = official("pix2pixhd_multiscale_discriminator", "multi-scale", inputs=6)
    by_scale = model.features(image)  # type: ignore[operator]
    for ours, stored in zip([layer for scale in by_scale for layer in scale], theirs, strict=True):
        assert_equal(ours, stored)
    assert all(torch.equal(a, b[-1]) for a, b in zip(model(image), by_scale, strict=True))


@torch.no_grad()
def test_gated_generator_equals_the_official_code() -> None:
    model, (masked, mask), (coarse, refined, _flow_picture) = official("deepfillv2_generator", "gated")
    ours = model.fill(masked, mask)  # type: ignore[operator]
    assert_equal(ours[0], coarse)
    assert_equal(ours[1], refined)
    # The published input is what forward builds, whatever the picture holds in the hole.
    scribbled = masked[:, :3] + mask * 0.7
    assert torch.equal(model(scribbled, mask)[1], ours[1])
