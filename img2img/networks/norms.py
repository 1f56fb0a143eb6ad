"""Normalisation by name, and what becomes of batch norm when a trained network is used."""

import copy
from typing import Literal

from torch import nn

from img2img.errors import ConfigError
from img2img.networks.spectral import fold

NORMS = ("batch", "instance", "none")


def normalisation(name: str, channels: int) -> nn.Module:
    """The layer called `name` for `[N, channels, H, W]`; the shape does not change.

    "batch" has affine weights and running statistics (Ioffe and Szegedy 2015); "instance" has neither, as in the
    official pix2pix and CycleGAN code (Ulyanov et al. 2016); "none" hands its input on.

    Raises:
        ConfigError: there is no such normalisation.
    """
    if name == "batch":
        return nn.BatchNorm2d(channels)
    if name == "instance":
        return nn.InstanceNorm2d(channels)
    if name == "none":
        return nn.Identity()
    raise ConfigError(f"unknown norm '{name}'; there are {', '.join(NORMS)}")


def biased(name: str) -> bool:
    """Whether a convolution in front of the normalisation has a bias: batch norm brings one of its own.

    So it is in the official code, except that there "none" leaves the network without any biases.
    """
    return name != "batch"


def at_test(network: nn.Module, mode: Literal["paper", "running"] = "paper") -> nn.Module:
    """A copy of `network` for validation and export: in eval mode, dropout off, spectral norm folded in.

    "paper" lets every batch norm take the statistics of the picture before it, with its own affine weights: what the
    pix2pix paper does ("batch normalization using the statistics of the test batch", a batch of one: Isola et al.
    2017, section 3.3), and what ONNX calls InstanceNormalization. Pictures of a batch do not see each other. "running"
    leaves the running statistics gathered in training, and is the only choice where a batch norm sees one pixel a
    picture (the bottleneck of a context encoder). Networks without batch norm behave alike in both modes.

    The paper also leaves dropout on at test time; here it is off, so that one picture has one result.

    Raises:
        ConfigError: there is no such mode.
    """
    if mode not in ("paper", "running"):
        raise ConfigError(f"unknown norm mode '{mode}'; there are paper, running")
    copied = fold(copy.deepcopy(network)).eval()
    return _with_instance_statistics(copied) if mode == "paper" else copied


def _with_instance_statistics(module: nn.Module) -> nn.Module:
    if isinstance(module, nn.BatchNorm2d | nn.SyncBatchNorm):
        instance = nn.InstanceNorm2d(module.num_features, eps=module.eps, affine=module.affine)
        if module.affine:
            instance.weight, instance.bias = module.weight, module.bias
        return instance.eval()
    for name, child in module.named_children():
        setattr(module, name, _with_instance_statistics(child))
    return module
