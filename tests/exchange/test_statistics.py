"""Running statistics that were never gathered, or are broken, are found and named."""

import torch
from torch import nn

from img2img.exchange.statistics import examine, not_finite


def network(count: int = 2) -> nn.Sequential:
    layers = nn.Sequential(*(nn.BatchNorm2d(3) for _ in range(count)), nn.InstanceNorm2d(3))
    for layer in layers[:count]:
        layer.running_mean.fill_(0.5)  # type: ignore[operator, union-attr]
    return layers


def test_gathered_statistics_are_no_fault() -> None:
    found = examine({"generator": network()})
    assert (found.count, found.idle, found.broken, found.fault) == (2, (), (), None)
    trained = nn.BatchNorm2d(3)
    trained(torch.rand(2, 3, 4, 4))
    assert examine({"g": trained}).fault is None
    assert examine({"g": nn.BatchNorm2d(3, track_running_stats=False)}).count == 0


def test_those_of_a_fresh_network_were_never_gathered() -> None:
    fresh = examine({"generator": nn.Sequential(nn.BatchNorm2d(3), nn.Sequential(nn.BatchNorm2d(3)))})
    assert fresh.idle == ("generator.0", "generator.1.0")
    assert fresh.fault == "the running statistics of its batch norm were never gathered (means 0, variances 1)"
    part = network()
    part[1].reset_running_stats()  # type: ignore[operator]
    assert examine({"": part}).fault == "the running statistics of 1 were never gathered (means 0, variances 1)"


def test_broken_ones_are_named() -> None:
    part = network(8)
    for place, value in enumerate((float("nan"), float("inf"), -1.0)):
        part[place].running_var.fill_(value)  # type: ignore[operator, union-attr]
    found = examine({"g": part})
    assert found.broken == ("g.0", "g.1", "g.2")
    assert found.fault == "the running statistics of g.0, g.1, g.2 are not finite"
    for layer in part[:8]:
        layer.running_mean.fill_(float("nan"))  # type: ignore[operator, union-attr]
    assert examine({"g": part}).fault == ("the running statistics of g.0, g.1, g.2, g.3, g.4 and 3 more are not finite")


def test_values_that_are_not_finite_are_named() -> None:
    values = {"a": torch.ones(2), "b": torch.tensor([1.0, float("inf")]), "count": torch.tensor(3)}
    assert not_finite(values) == "b" and not_finite({"a": values["a"]}) == ""
