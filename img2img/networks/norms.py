"""Norm layers by name, and the handling of batch norm for inference."""

import copy
from typing import Literal

from torch import nn

from img2img.errors import ConfigError
from img2img.networks.spectral import fold_spectral_norm

NORMS = ("batch", "instance", "layer", "none")


def norm_layer(name: str, channels: int) -> nn.Module:
    """Build the layer called `name` for `[N, channels, H, W]`. It keeps the shape.

    "batch" has affine weights and running statistics (Ioffe and Szegedy 2015). "instance" has neither, as in the
    official pix2pix and CycleGAN code (Ulyanov et al. 2016). "layer" normalises each picture over C, H and W and has
    affine weights for each channel, as in MUNIT (Ba et al. 2016). "none" returns its input.

    Raises:
        ConfigError: the norm is unknown.
    """
    if name == "batch":
        return nn.BatchNorm2d(channels)
    if name == "instance":
        return nn.InstanceNorm2d(channels)
    if name == "layer":
        return nn.GroupNorm(1, channels)
    if name == "none":
        return nn.Identity()
    raise ConfigError(f"unknown norm '{name}'; choose from {', '.join(NORMS)}")


def needs_bias(name: str) -> bool:
    """Return whether a convolution before the norm needs a bias. Batch norm has its own.

    The official code does the same, except that "none" there leaves the network without any biases.
    """
    return name != "batch"


def inference_copy(network: nn.Module, mode: Literal["paper", "running"] = "paper") -> nn.Module:
    """Return a copy of `network` for validation and export: in eval mode, dropout off, spectral norm folded in.

    "paper": every batch norm uses the statistics of the current picture with its own affine weights. The pix2pix paper
    does this ("batch normalization using the statistics of the test batch", a batch of one: Isola et al. 2017, section
    3.3); ONNX calls it InstanceNormalization. Pictures of a batch do not influence each other. "running": batch norm
    uses the running statistics from training. This is the only choice if a batch norm sees one pixel per picture, as in
    the bottleneck of a context encoder. Both modes are the same for networks without batch norm.

    The paper also keeps dropout on at test time. Here it is off, so that a picture has one result.

    Raises:
        ConfigError: the mode is unknown.
    """
    if mode not in ("paper", "running"):
        raise ConfigError(f"unknown norm mode '{mode}'; choose from paper, running")
    copied = fold_spectral_norm(copy.deepcopy(network)).eval()
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
