"""A compact network whose convolutions are trained with several linear branches and folded into plain 3x3 ones."""

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from img2img.networks.compact import Compact, start_as_nearest


class CollapsibleConv(nn.Module):
    """A 3x3 convolution, over-parameterised by linear branches that are summed *as kernels*.

    Branches: the plain 3x3 kernel; a 3x3 convolution to `expand` channels followed by a 1x1 one
    (SESR, Bhardwaj et al. 2022, section 3.1); and, where the channel counts agree, the identity. All are linear
    and share one zero padding, so their sum is itself one 3x3 kernel. It is formed in weight space at each step
    (SESR, section 3.2): training costs one convolution, not three, and folding is exact by construction.

    Input `[N, inputs, H, W]`, output `[N, outputs, H, W]`.
    """

    def __init__(self, inputs: int, outputs: int, expand: int) -> None:
        super().__init__()
        self.direct = nn.Conv2d(inputs, outputs, 3, 1, 1)
        self.widen = nn.Conv2d(inputs, expand, 3, 1, 1, bias=False)
        self.narrow = nn.Conv2d(expand, outputs, 1, bias=False)
        self.residual = inputs == outputs
        with torch.no_grad():
            self.narrow.weight.mul_(0.5)

    def kernel(self) -> tuple[Tensor, Tensor]:
        """The one kernel `[outputs, inputs, 3, 3]` and bias `[outputs]` that the branches amount to."""
        expanded = torch.tensordot(self.narrow.weight[:, :, 0, 0], self.widen.weight, dims=1)
        kernel = self.direct.weight + expanded
        if self.residual:
            identity = torch.eye(kernel.shape[0], dtype=kernel.dtype, device=kernel.device)
            kernel = kernel + F.pad(identity[:, :, None, None], (1, 1, 1, 1))
        assert self.direct.bias is not None
        return kernel, self.direct.bias

    def forward(self, hidden: Tensor) -> Tensor:
        kernel, bias = self.kernel()
        return F.conv2d(hidden, kernel.to(memory_format=torch.channels_last), bias, padding=1)


class CollapsibleCompact(nn.Module):
    """`Compact` with every convolution a `CollapsibleConv`; `folded()` gives the plain network for export.

    Args:
        scale, features, convs, channels: as for `Compact`.
        expand: channels of the widened branch.

    Input and output as for `Compact`.
    """

    def __init__(
        self, scale: int = 4, features: int = 48, convs: int = 10, channels: int = 3, expand: int = 128
    ) -> None:
        super().__init__()
        self.options = {"scale": scale, "features": features, "convs": convs, "channels": channels}
        self.scale = scale
        self.body = nn.ModuleList([CollapsibleConv(channels, features, expand), nn.PReLU(features)])
        for _ in range(convs):
            self.body.extend([CollapsibleConv(features, features, expand), nn.PReLU(features)])
        self.body.append(nn.Conv2d(features, channels * scale * scale, 3, 1, 1))
        start_as_nearest(self)  # type: ignore[arg-type]

    forward = Compact.forward

    @torch.no_grad()
    def folded(self) -> Compact:
        """The same function as a `Compact` network, in the published layout."""
        plain = Compact(**self.options)
        for ours, theirs in zip(self.body, plain.body, strict=True):
            if isinstance(ours, CollapsibleConv):
                kernel, bias = ours.kernel()
                theirs.load_state_dict({"weight": kernel, "bias": bias})
            else:
                theirs.load_state_dict(ours.state_dict())
        return plain.to(next(self.parameters()).device).train(self.training)
