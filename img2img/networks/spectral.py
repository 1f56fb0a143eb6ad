"""Adds spectral norm to a whole network, or folds it into plain weights."""

from typing import cast

from torch import Tensor, nn
from torch.nn.modules.conv import _ConvNd
from torch.nn.utils import parametrize
from torch.nn.utils.parametrizations import _SpectralNorm, spectral_norm


def add_spectral_norm(network: nn.Module) -> nn.Module:
    """Divide the weight of every convolution and linear layer of `network`, in place, by its largest singular value.

    Miyato et al. 2018, algorithm 1, with one power iteration each time a weight is used in training. Skips layers that
    already have spectral norm. Uses parametrisations instead of the older forward hook, because networks with that hook
    cannot be copied after a forward pass. The state dict has `parametrizations.weight.original`, `.0._u` and `.0._v`.

    Initialise the network first: the singular vectors are those of its current weights.
    """
    for module in list(network.modules()):
        if isinstance(module, _ConvNd | nn.Linear) and not has_spectral_norm(module):
            spectral_norm(module)
    return network


def has_spectral_norm(module: nn.Module) -> bool:
    """Return whether `module` has spectral norm, as a parametrisation or as the older forward hook."""
    return hasattr(module, "weight_orig") or _parametrised(module)


def fold_spectral_norm(network: nn.Module) -> nn.Module:
    """Replace the spectral norm of `network`, in place, by plain weights that give the same output in eval mode.

    Safe for a copy of a network: it does not change the original. torch's own `remove_parametrizations` would, because
    it changes a class that both share.
    """
    for module in list(network.modules()):
        if _parametrised(module):
            _parametrisations(module).eval()  # reading a weight in training mode updates its singular vectors
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
