"""How the weights of a network start."""

from typing import cast

import torch
from torch import Tensor, nn
from torch.nn import init
from torch.nn.modules.batchnorm import _BatchNorm
from torch.nn.modules.conv import _ConvNd
from torch.nn.utils import parametrize

from img2img.errors import ConfigError

WAYS = ("normal", "xavier", "kaiming", "orthogonal", "none")


@torch.no_grad()
def initialise(network: nn.Module, how: str = "normal", gain: float = 0.02) -> nn.Module:
    """Fill the weights of `network`, in place, from torch's global generator of random numbers.

    Convolutions and linear layers are drawn as `how` says, their biases are 0; batch norm's weights are drawn from
    N(1, 0.02), its biases are 0. Other layers keep what they have.

    Args:
        how: "normal": N(0, gain), published with gain 0.02 for DCGAN (Radford et al. 2016, section 4), pix2pix
            (Isola et al. 2017, appendix 6.2) and CycleGAN; "xavier": normal with `gain` (Glorot and Bengio 2010);
            "kaiming": normal by the fan-in, for ReLU, without `gain` (He et al. 2015); "orthogonal": with `gain`
            (Saxe et al. 2014); "none": everything stays as torch made it, published for StarGAN. Super-resolution
            networks scale their residual branches when they are made and are published as "none".
        gain: standard deviation, or factor, as above.

    Raises:
        ConfigError: there is no such way.
    """
    if how not in WAYS:
        raise ConfigError(f"unknown initialisation '{how}'; there are {', '.join(WAYS)}")
    if how == "none":
        return network
    for module in network.modules():
        if isinstance(module, _ConvNd | nn.Linear):
            _fill(_stored_weight(module), how, gain)
            if module.bias is not None:
                module.bias.zero_()
        elif isinstance(module, _BatchNorm) and module.affine:
            module.weight.normal_(1.0, 0.02)
            module.bias.zero_()
    return network


def _fill(weight: Tensor, how: str, gain: float) -> None:
    if how == "normal":
        init.normal_(weight, 0.0, gain)
    elif how == "xavier":
        init.xavier_normal_(weight, gain=gain)
    elif how == "kaiming":
        init.kaiming_normal_(weight)
    else:
        init.orthogonal_(weight, gain=gain)


def _stored_weight(module: nn.Module) -> Tensor:
    """What is trained: under spectral norm, `weight` itself is only computed from it."""
    if parametrize.is_parametrized(module, "weight"):
        weights = cast(parametrize.ParametrizationList, cast(nn.ModuleDict, module.parametrizations)["weight"])
        return weights.original
    return cast(Tensor, module.weight_orig if hasattr(module, "weight_orig") else module.weight)
