"""Spectral norm on a whole network."""

from typing import cast

from torch import Tensor, nn
from torch.nn.modules.conv import _ConvNd
from torch.nn.utils import parametrize
from torch.nn.utils.parametrizations import _SpectralNorm, spectral_norm


def spectral(network: nn.Module) -> nn.Module:
    """Divide the weight of every convolution and linear layer of `network`, in place, by its largest singular value.

    Miyato et al. 2018, algorithm 1: one power iteration each time a weight is used in training. Layers that already
    have it are left alone. The weights are parametrisations, not the older forward hook, whose networks cannot be
    copied once they have run: the state dict has `parametrizations.weight.original`, `.0._u` and `.0._v`.

    Initialise the network first: the singular vectors are those of the weights found here.
    """
    for module in list(network.modules()):
        if isinstance(module, _ConvNd | nn.Linear) and not has_spectral_norm(module):
            spectral_norm(module)
    return network


def has_spectral_norm(module: nn.Module) -> bool:
    """Whether the weight of `module` is under spectral norm, as a parametrisation or by the older forward hook."""
    return hasattr(module, "weight_orig") or _parametrised(module)


def fold(network: nn.Module) -> nn.Module:
    """Turn what `spectral` did to `network` back, in place, into plain weights that give the same output in eval mode.

    A copy of a network may be folded without harm to the network: torch's own `remove_parametrizations` changes a
    class that the two share.
    """
    for module in list(network.modules()):
        if _parametrised(module):
            _parametrisations(module).eval()  # reading a weight in training moves its singular vectors
            weight = cast(Tensor, module.weight).detach().clone()
            del module.parametrizations
            module.__class__ = type(module).__bases__[0]
            module.weight = nn.Parameter(weight)
    return network


def _parametrised(module: nn.Module) -> bool:
    return parametrize.is_parametrized(module, "weight") and any(
        isinstance(step, _SpectralNorm) for step in _parametrisations(module)
    )


def _parametrisations(module: nn.Module) -> parametrize.ParametrizationList:
    return cast(parametrize.ParametrizationList, cast(nn.ModuleDict, module.parametrizations)["weight"])
