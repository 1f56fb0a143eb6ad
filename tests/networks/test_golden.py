"""Our networks are the published ones: official state dicts load, and give the stored outputs."""

from typing import Any

import numpy as np
import pytest
import torch
from shared_data import reference_module

from img2img import networks

GOLDEN: dict[str, tuple[str, dict[str, Any]]] = {
    # reference: (network, options)
    "srvgg_compact_x4_16conv": ("compact", {"scale": 4, "features": 64, "convs": 16}),
    "srvgg_compact_x4_32conv": ("compact", {"scale": 4, "features": 64, "convs": 32}),
    "realesrgan_rrdbnet_x4": ("rrdb", {"scale": 4}),
    "realesrgan_rrdbnet_x4_6blocks": ("rrdb", {"scale": 4, "blocks": 6}),
    "realesrgan_rrdbnet_x2": ("rrdb", {"scale": 2}),
    "srresnet_x2": ("srresnet", {"scale": 2}),
    "srresnet_x4": ("srresnet", {"scale": 4}),
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
}


@pytest.mark.parametrize("name", GOLDEN)
def test_network_equals_the_official_code(name: str) -> None:
    network, options = GOLDEN[name]
    fill = reference_module()
    state = {key: torch.from_numpy(values) for key, values in fill.weights(name).items()}
    inputs, outputs = fill.reference(name)
    model = networks.build(network, **options).eval()
    assert list(model.state_dict()) == list(state)
    model.load_state_dict(state)
    with torch.no_grad():
        ours = model(*(torch.from_numpy(values) for values in inputs))
    ours = ours if isinstance(ours, tuple) else (ours,)
    assert len(ours) == len(outputs)
    for mine, theirs in zip(ours, outputs, strict=True):
        assert mine.shape == theirs.shape
        assert np.abs(mine.numpy() - theirs).max() < 1e-4 * np.ptp(theirs)
