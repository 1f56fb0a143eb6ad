"""A compact network whose convolutions train with several linear branches and fold into plain 3x3 convolutions."""

from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from img2img.networks import grow
from img2img.networks.compact import Compact, activation_layer, start_as_nearest


class CollapsibleConv(nn.Module):
    """A 3x3 convolution, over-parameterised by linear branches that are summed *as kernels*.

    The branches are the plain 3x3 kernel, a 3x3 convolution to `expand` channels followed by a 1x1 convolution (SESR,
    Bhardwaj et al. 2022, section 3.1), and the identity if the channel counts agree. All branches are linear and share
    one zero padding, so their sum is a single 3x3 kernel. Each step computes it in weight space (SESR, section 3.2):
    training costs one convolution instead of three, and folding is exact.

    Input `[N, inputs, H, W]`, output `[N, outputs, H, W]`.
    """

    def __init__(self, inputs: int, outputs: int, expand: int) -> None:
        super().__init__()
        self.direct = nn.Conv2d(inputs, outputs, 3, 1, 1)
        self.widen = nn.Conv2d(inputs, expand, 3, 1, 1, bias=False)
        self.narrow = nn.Conv2d(expand, outputs, 1, bias=False)
        with torch.no_grad():
            self.narrow.weight.mul_(0.5)

    def kernel(self) -> tuple[Tensor, Tensor]:
        """Return the kernel `[outputs, inputs, 3, 3]` and bias `[outputs]` that equal all branches together."""
        assert self.direct.bias is not None
        return _sum_branches(self.direct.weight, self.widen.weight, self.narrow.weight), self.direct.bias

    def direct_for(self, kernel: Tensor) -> Tensor:
        """Return the plain kernel with which all branches together equal `kernel`."""
        return kernel - (self.kernel()[0] - self.direct.weight)

    def forward(self, hidden: Tensor) -> Tensor:
        kernel, bias = self.kernel()
        return F.conv2d(hidden, kernel.to(memory_format=torch.channels_last), bias, padding=1)


class CollapsibleCompact(nn.Module):
    """`Compact` with `CollapsibleConv` for every convolution. `folded()` returns the plain network for export.

    Args:
        scale, features, convs, channels, activation: see `Compact`.
        expand: channels of the widened branch.

    Input and output: see `Compact`.
    """

    def __init__(
        self,
        scale: int = 4,
        features: int = 48,
        convs: int = 10,
        channels: int = 3,
        expand: int = 128,
        activation: str = "prelu",
    ) -> None:
        super().__init__()
        self.options: dict[str, Any] = {
            "scale": scale,
            "features": features,
            "convs": convs,
            "channels": channels,
            "activation": activation,
        }
        self.scale = scale
        self.body = nn.ModuleList([CollapsibleConv(channels, features, expand), activation_layer(activation, features)])
        for _ in range(convs):
            self.body.extend([CollapsibleConv(features, features, expand), activation_layer(activation, features)])
        self.body.append(nn.Conv2d(features, channels * scale * scale, 3, 1, 1))
        start_as_nearest(self)  # type: ignore[arg-type]

    forward = Compact.forward

    @torch.no_grad()
    def folded(self) -> Compact:
        """Return the same function as a `Compact` network, in the published layout."""
        plain = Compact(**self.options)
        for ours, theirs in zip(self.body, plain.body, strict=True):
            if isinstance(ours, CollapsibleConv):
                kernel, bias = ours.kernel()
                theirs.load_state_dict({"weight": kernel, "bias": bias})
            else:
                theirs.load_state_dict(ours.state_dict())
        return plain.to(next(self.parameters()).device).train(self.training)

    @torch.no_grad()
    def initial_state_from(self, state: Mapping[str, Tensor]) -> tuple[dict[str, Tensor], str] | None:
        """Like `Compact.initial_state_from`; also accepts a `CollapsibleCompact` of another size and any `expand`.

        The other branches keep their weights. The plain kernels are chosen so that all branches add up to the given
        function.
        """
        if shapes(state) == shapes(self.state_dict()):
            return None  # same layout: load `state` directly
        small = fold_state(state)
        if grow.size_of(small) is None:
            return None
        plain, how = grow.grow_weights(small, Compact(**self.options).state_dict())
        return with_branches(self, plain), how


def shapes(state: Mapping[str, Tensor]) -> dict[str, torch.Size]:
    """Return the shape of each tensor of `state`."""
    return {key: value.shape for key, value in state.items()}


@torch.no_grad()
def with_branches(network: nn.Module, plain: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Return weights for `network` that give the same function as `plain`, which has no branches.

    The other branches keep the weights they have in `network`. The direct kernels make up for them.
    """
    state: dict[str, Tensor] = {**network.state_dict(), **plain}
    for name, layer in network.named_modules():
        if isinstance(layer, CollapsibleConv):
            state[f"{name}.direct.weight"] = layer.direct_for(state.pop(f"{name}.weight"))
            state[f"{name}.direct.bias"] = state.pop(f"{name}.bias")
    return state


def fold_state(state: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Return `state` with one kernel instead of the branches of each of its `CollapsibleConv` layers."""
    folded = dict(state)
    for place in [key.removesuffix(".direct.weight") for key in state if key.endswith(".direct.weight")]:
        keys = [f"{place}.{part}" for part in ("direct.weight", "direct.bias", "widen.weight", "narrow.weight")]
        if not all(key in state for key in keys):
            continue
        direct, bias, widen, narrow = (state[key] for key in keys)
        if (
            direct.shape[2:] != (3, 3)
            or widen.shape[1:] != direct.shape[1:]
            or narrow.shape != (len(direct), len(widen), 1, 1)
        ):
            continue
        for key in keys:
            del folded[key]
        folded[f"{place}.weight"], folded[f"{place}.bias"] = _sum_branches(direct, widen, narrow), bias
    return folded


def _sum_branches(direct: Tensor, widen: Tensor, narrow: Tensor) -> Tensor:
    """Return the kernel that equals all branches with these weights, including the identity if the layer has one."""
    kernel: Tensor = direct + torch.tensordot(narrow[:, :, 0, 0], widen, dims=1)
    if kernel.shape[0] == kernel.shape[1]:
        identity = torch.eye(kernel.shape[0], dtype=kernel.dtype, device=kernel.device)
        kernel = kernel + F.pad(identity[:, :, None, None], (1, 1, 1, 1))
    return kernel
