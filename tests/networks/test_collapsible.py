"""Collapsible convolutions: folding keeps the function, and every branch learns."""

import pytest
import torch
from torch import nn
from torch.nn import functional as F

from img2img import networks
from img2img.networks.collapsible import CollapsibleCompact, CollapsibleConv


def random_net(scale: int) -> CollapsibleCompact:
    torch.manual_seed(0)
    net = CollapsibleCompact(scale=scale, features=8, convs=3, expand=12).double()
    for parameter in net.parameters():
        nn.init.normal_(parameter, std=0.2)
    return net


@pytest.mark.parametrize("scale", [1, 2, 3, 4])
def test_folding_keeps_the_function(scale: int) -> None:
    net = random_net(scale)
    image = torch.rand(2, 3, 7, 11, dtype=torch.float64)
    assert torch.allclose(net(image), net.folded().double()(image), atol=1e-6)
    assert net(image).shape == (2, 3, 7 * scale, 11 * scale)


def test_the_summed_kernel_equals_the_separate_branches() -> None:
    torch.manual_seed(0)
    conv = CollapsibleConv(4, 4, 9).double()
    hidden = torch.randn(1, 4, 6, 5, dtype=torch.float64)
    branches = conv.direct(hidden) + conv.narrow(conv.widen(hidden)) + hidden
    assert torch.allclose(conv(hidden), branches, atol=1e-12)


def test_the_folded_network_has_the_published_layout() -> None:
    folded = random_net(4).folded()
    assert list(folded.state_dict()) == list(networks.build("compact", features=8, convs=3).state_dict())


def test_every_branch_gets_a_gradient() -> None:
    net = random_net(2)
    F.l1_loss(net(torch.rand(1, 3, 8, 8, dtype=torch.float64)), torch.zeros(1, 3, 16, 16).double()).backward()
    assert all(p.grad is not None and p.grad.abs().sum() > 0 for p in net.parameters())
