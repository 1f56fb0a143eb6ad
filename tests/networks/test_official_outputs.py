"""The networks equal the published ones: official state dicts load and reproduce the stored outputs."""

from typing import Any

import numpy as np
import pytest
import torch
from shared_data import reference_module
from torch import Tensor, nn

from img2img import networks
from img2img.networks.rrdb import from_esrgan_2018

REFERENCES: dict[str, tuple[str, dict[str, Any]]] = {
    # reference: (network, options)
    "srvgg_compact_x4_16conv": ("compact", {"scale": 4, "features": 64, "convs": 16}),
    "srvgg_compact_x4_32conv": ("compact", {"scale": 4, "features": 64, "convs": 32}),
    "esrgan_rrdbnet_2018_keys": ("rrdb", {"scale": 4}),
    "realesrgan_rrdbnet_x4": ("rrdb", {"scale": 4}),
    "realesrgan_rrdbnet_x4_6blocks": ("rrdb", {"scale": 4, "blocks": 6}),
    "realesrgan_rrdbnet_x2": ("rrdb", {"scale": 2}),
    "srresnet_x2": ("srresnet", {"scale": 2}),
    "srresnet_x4": ("srresnet", {"scale": 4}),
    "vgg_style_discriminator_128": ("vgg-style", {"size": 128}),
    "unet_discriminator_sn": ("unet-discriminator", {}),
    "pix2pix_unet_256": ("unet", {"downs": 8, "dropout": True}),
    "pix2pix_unet_128": ("unet", {"downs": 7, "dropout": False}),
    "cyclegan_resnet_9blocks": ("resnet", {"blocks": 9}),
    "cyclegan_resnet_6blocks": ("resnet", {"blocks": 6}),
    "pix2pix_resnet_9blocks_batchnorm_dropout": ("resnet", {"blocks": 9, "norm": "batch", "dropout": True}),
    "stargan_generator": ("stargan", {"domains": 5}),
    "stargan_discriminator": ("stargan-discriminator", {"domains": 5, "size": 128}),
    "patchgan_70x70_batchnorm": ("patchgan", {"inputs": 6, "norm": "batch"}),
    "patchgan_70x70_instancenorm": ("patchgan", {"inputs": 3, "norm": "instance"}),
    "pixelgan": ("pixelgan", {"inputs": 6}),
    "context_encoder_center_128": ("context-encoder", {}),
    "pix2pixhd_global": ("pix2pixhd", {}),
}


def official(name: str, network: str, **options: Any) -> tuple[nn.Module, list[Tensor], list[np.ndarray]]:
    """Return our network with the official weights, the stored inputs and the stored outputs."""
    fill = reference_module()
    state = {key: torch.from_numpy(values) for key, values in fill.weights(name).items()}
    inputs, outputs = fill.reference(name)
    with torch.device("meta"):  # the weights are loaded; drawing 182 million others would take longer than the test
        model = networks.build(network, **options)
    if name == "esrgan_rrdbnet_2018_keys":
        state = from_esrgan_2018(state)
    assert list(model.state_dict()) == list(state)
    model.load_state_dict(state, assign=True)
    return model.eval(), [torch.from_numpy(values) for values in inputs], outputs


def assert_equal(ours: Tensor, theirs: np.ndarray) -> None:
    assert ours.shape == theirs.shape
    spread = np.ptp(theirs) if theirs.size > 1 else abs(theirs.item())
    assert np.abs(ours.numpy() - theirs).max() < 1e-4 * spread


@pytest.mark.parametrize("name", REFERENCES)
@torch.no_grad()
def test_network_equals_the_official_code(name: str) -> None:
    network, options = REFERENCES[name]
    model, inputs, outputs = official(name, network, **options)
    results = model(*inputs)
    results = results if isinstance(results, tuple) else (results,)
    for ours, theirs in zip(results, outputs, strict=True):
        assert_equal(ours, theirs)


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
    # `forward` builds the published input, whatever the picture contains in the hole.
    scribbled = masked[:, :3] + mask * 0.7
    assert torch.equal(model(scribbled, mask)[1], ours[1])
