"""Save weights in the layout of the official repositories, so that other programs can load them."""

import copy
from collections.abc import Mapping
from pathlib import Path

import torch
from torch import Tensor, nn

from img2img.atomic import atomic
from img2img.networks.spectral import fold_spectral_norm

WRAPPER_PREFIX = "generator."
"""Prefix of the keys of a generator that is wrapped to take labels or a mask."""

GROWTH_PREFIX = "growth."
"""Prefix of the keys of layers that a fully grown network does not use (`networks.growing`)."""

ENDINGS = {"pth": (".pth", ".pt", ".ckpt"), "safetensors": (".safetensors",)}
"""Format -> file endings, the most common one first."""


def official_state_dict(network: nn.Module) -> dict[str, Tensor]:
    """The state dict of `network` in its published layout, with branches and spectral norm folded, and without
    wrappers and layers for growing.

    Args:
        network: one of a method's networks as it is trained, not one that is prepared for export. The networks of
            this package already use the official keys.
    """
    folded = getattr(network, "folded", None)
    plain: nn.Module = folded() if folded else fold_spectral_norm(copy.deepcopy(network))
    kept = {key: value for key, value in plain.state_dict().items() if not key.startswith(GROWTH_PREFIX)}
    state = {key: value.detach().cpu().clone().contiguous() for key, value in kept.items()}
    if state and all(key.startswith(WRAPPER_PREFIX) for key in state):
        state = {key.removeprefix(WRAPPER_PREFIX): value for key, value in state.items()}
    return state


def save(weights: Mapping[str, Tensor], target: Path, *, task: str, averaged: bool) -> None:
    """Write weights from `official_state_dict` to a file, under the key that programs for the task expect.

    Args:
        target: a .safetensors file holds only the weights. Any other ending gives a torch file that can be read with
            `weights_only=True`. For upscaling, it holds the weights under `params_ema` or `params`, like the files of
            BasicSR and Real-ESRGAN. Otherwise it holds only the weights, like `latest_net_G.pth` of pix2pix and
            CycleGAN and `200000-G.ckpt` of StarGAN.
        averaged: the weights are a moving average.

    Raises:
        PictureError: the file cannot be written; an existing file stays as it was.
    """
    if target.suffix in ENDINGS["safetensors"]:
        from safetensors.torch import save as to_bytes

        with atomic(target) as file:
            file.write(to_bytes(dict(weights)))
        return
    content: dict[str, object] = dict(weights)
    if task == "upscale":
        content = {"params_ema" if averaged else "params": content}
    with atomic(target) as file:
        torch.save(content, file)
