"""Our networks are the published ones: official state dicts load, and give the stored outputs."""

import numpy as np
import pytest
import torch
from shared_data import reference_module

from img2img import networks

GOLDEN = {
    "srvgg_compact_x4_16conv": ("compact", {"scale": 4, "features": 64, "convs": 16}),
    "srvgg_compact_x4_32conv": ("compact", {"scale": 4, "features": 64, "convs": 32}),
    "realesrgan_rrdbnet_x4": ("rrdb", {"scale": 4}),
    "realesrgan_rrdbnet_x4_6blocks": ("rrdb", {"scale": 4, "blocks": 6}),
    "realesrgan_rrdbnet_x2": ("rrdb", {"scale": 2}),
    "srresnet_x2": ("srresnet", {"scale": 2}),
    "srresnet_x4": ("srresnet", {"scale": 4}),
}


@pytest.mark.parametrize("name", GOLDEN)
def test_network_equals_the_official_code(name: str) -> None:
    fill = reference_module()
    network, options = GOLDEN[name]
    state = {key: torch.from_numpy(values) for key, values in fill.weights(name).items()}
    inputs, outputs = fill.reference(name)
    model = networks.build(network, **options).eval()
    assert list(model.state_dict()) == list(state)
    model.load_state_dict(state)
    with torch.no_grad():
        ours = model(*(torch.from_numpy(values) for values in inputs)).numpy()
    (theirs,) = outputs
    assert ours.shape == theirs.shape
    assert np.abs(ours - theirs).max() < 1e-4 * np.ptp(theirs)
