"""Converts the state dicts of ESRGAN's own code to the layout of Real-ESRGAN."""

import pytest
import torch
from torch import Tensor

from img2img.errors import CheckpointError
from img2img.networks.rrdb import RRDBNet, from_esrgan_2018


def older_keys(state: dict[str, Tensor], blocks: int) -> dict[str, Tensor]:
    """Return `state` in the layout before 2018, in which all layers are numbered in one sequence."""
    last = {"conv_first": "0", "conv_up1": "3", "conv_up2": "6", "conv_hr": "8", "conv_last": "10"}
    renamed = {}
    for key, tensor in state.items():
        *name, kind = key.split(".")
        if name[0] == "body":
            _, n, rdb, conv = name
            renamed[f"model.1.sub.{n}.{rdb.upper()}.{conv}.0.{kind}"] = tensor
        elif name == ["conv_body"]:
            renamed[f"model.1.sub.{blocks}.{kind}"] = tensor
        else:
            renamed[f"model.{last[name[0]]}.{kind}"] = tensor
    return renamed


def test_the_oldest_esrgan_layout_is_converted() -> None:
    network = RRDBNet(features=4, blocks=2, growth=2)
    state = network.state_dict()
    back = from_esrgan_2018(older_keys(state, blocks=2))
    assert list(back) == list(state)
    assert all(back[key] is tensor for key, tensor in state.items())


@pytest.mark.parametrize("key", ["model.13.weight", "body.0.rdb1.conv1.weight", "RRDB_trunk.0.RDB4.conv1.weight", "x"])
def test_errors_name_a_key_of_another_network(key: str) -> None:
    with pytest.raises(CheckpointError, match=key.replace(".", r"\.")):
        from_esrgan_2018({key: torch.zeros(1)})
