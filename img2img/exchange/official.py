"""Weights as the official repositories publish them: other programs' loaders take such files."""

import copy
from collections.abc import Mapping
from pathlib import Path

import torch
from torch import Tensor, nn

from img2img.atomic import atomic
from img2img.networks.spectral import fold_spectral_norm

INNER = "generator."
"""Prefix of the keys of a generator that was wrapped for its labels or its mask."""

ENDINGS = {"pth": (".pth", ".pt", ".ckpt"), "safetensors": (".safetensors",)}
"""Format to the endings of its files, the usual one first."""


def state(network: nn.Module) -> dict[str, Tensor]:
    """The state dict of `network` in its published layout: branches and spectral norm folded, wrappers taken off.

    Networks of this package have the official keys by themselves; so those of a method's own networks, in the form
    that they are trained in, are meant here, not those prepared for export.
    """
    folded = getattr(network, "folded", None)
    plain: nn.Module = folded() if folded else fold_spectral_norm(copy.deepcopy(network))
    found = {key: value.detach().cpu().clone().contiguous() for key, value in plain.state_dict().items()}
    if found and all(key.startswith(INNER) for key in found):
        found = {key.removeprefix(INNER): value for key, value in found.items()}
    return found


def save(weights: Mapping[str, Tensor], target: Path, *, task: str, averaged: bool) -> None:
    """Write weights as from `state`, in the wrapper that programs for the task expect.

    Args:
        target: .safetensors: bare. Else torch's format, readable with `weights_only=True`: for upscaling under
            `params_ema` or `params`, as BasicSR and Real-ESRGAN write it; otherwise bare, like `latest_net_G.pth` of
            pix2pix and CycleGAN and `200000-G.ckpt` of StarGAN.
        averaged: the weights are a moving average.

    Raises:
        PictureError: the file cannot be written; then it is as it was.
    """
    if target.suffix in ENDINGS["safetensors"]:
        from safetensors.torch import save as as_bytes

        with atomic(target) as file:
            file.write(as_bytes(dict(weights)))
        return
    wrapped = {"params_ema" if averaged else "params": dict(weights)} if task == "upscale" else dict(weights)
    with atomic(target) as file:
        torch.save(wrapped, file)
