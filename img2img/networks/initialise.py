"""Initialises the weights of a network."""

from typing import cast

import torch
from torch import Tensor, nn
from torch.nn import init
from torch.nn.modules.batchnorm import _BatchNorm
from torch.nn.modules.conv import _ConvNd
from torch.nn.utils import parametrize

from img2img.errors import ConfigError

SCHEMES = ("normal", "xavier", "kaiming", "orthogonal", "none")


@torch.no_grad()
def initialise(network: nn.Module, scheme: str = "normal", gain: float = 0.02) -> nn.Module:
    """Fill the weights of `network` in place, using torch's global random generator.

    Convolutions and linear layers are drawn by `scheme`, and their biases become 0. Batch norm weights are drawn from
    N(1, 0.02), and their biases become 0. Other layers keep their values.

    Args:
        scheme: "normal": N(0, gain), published with gain 0.02 for DCGAN (Radford et al. 2016, section 4), pix2pix
            (Isola et al. 2017, appendix 6.2) and CycleGAN. "xavier": normal with `gain` (Glorot and Bengio 2010).
            "kaiming": normal by fan-in, for ReLU, ignores `gain` (He et al. 2015). "orthogonal": with `gain` (Saxe et
            al. 2014). "none": keep torch's defaults, as published for StarGAN. Super-resolution networks are published
            as "none", because their constructors scale the residual branches.
        gain: standard deviation or factor, see above.

    Raises:
        ConfigError: the scheme is unknown.
    """
    if scheme not in SCHEMES:
        raise ConfigError(f"unknown initialisation '{scheme}'; choose from {', '.join(SCHEMES)}")
    if scheme == "none":
        return network
    for module in network.modules():
        if isinstance(module, _ConvNd | nn.Linear):
            _fill(_trained_weight(module), scheme, gain)
            if module.bias is not None:
                module.bias.zero_()
        elif isinstance(module, _BatchNorm) and module.affine:
            module.weight.normal_(1.0, 0.02)
            module.bias.zero_()
    return network


def _fill(weight: Tensor, scheme: str, gain: float) -> None:
    if scheme == "normal":
        init.normal_(weight, 0.0, gain)
    elif scheme == "xavier":
        init.xavier_normal_(weight, gain=gain)
    elif scheme == "kaiming":
        init.kaiming_normal_(weight)
    else:
        init.orthogonal_(weight, gain=gain)


def _trained_weight(module: nn.Module) -> Tensor:
    """Return the parameter that is trained. Under spectral norm, `weight` is only computed from it."""
    if parametrize.is_parametrized(module, "weight"):
        weights = cast(parametrize.ParametrizationList, cast(nn.ModuleDict, module.parametrizations)["weight"])
        return weights.original
    return cast(Tensor, module.weight_orig if hasattr(module, "weight_orig") else module.weight)
