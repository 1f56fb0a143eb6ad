"""Running statistics that were never updated or are not finite are found and listed."""

import torch
from torch import nn

from img2img.exchange.running_statistics import examine, list_not_finite


def network(count: int = 2) -> nn.Sequential:
    layers = nn.Sequential(*(nn.BatchNorm2d(3) for _ in range(count)), nn.InstanceNorm2d(3))
    for layer in layers[:count]:
        layer.running_mean.fill_(0.5)  # type: ignore[operator, union-attr]
    return layers


def test_updated_statistics_are_fine() -> None:
    found = examine({"generator": network()})
    assert (found.count, found.never_updated, found.not_finite, found.problem) == (2, (), (), None)
    trained = nn.BatchNorm2d(3)
    trained(torch.rand(2, 3, 4, 4))
    assert examine({"g": trained}).problem is None
    assert examine({"g": nn.BatchNorm2d(3, track_running_stats=False)}).count == 0


def test_statistics_of_a_new_network_were_never_updated() -> None:
    fresh = examine({"generator": nn.Sequential(nn.BatchNorm2d(3), nn.Sequential(nn.BatchNorm2d(3)))})
    assert fresh.never_updated == ("generator.0", "generator.1.0")
    assert fresh.problem == "the running statistics of its batch norm were never updated (means 0, variances 1)"
    part = network()
    part[1].reset_running_stats()  # type: ignore[operator]
    assert examine({"": part}).problem == "the running statistics of 1 were never updated (means 0, variances 1)"


def test_layers_with_broken_statistics_are_listed() -> None:
    part = network(8)
    for place, value in enumerate((float("nan"), float("inf"), -1.0)):
        part[place].running_var.fill_(value)  # type: ignore[operator, union-attr]
    found = examine({"g": part})
    assert found.not_finite == ("g.0", "g.1", "g.2")
    assert found.problem == "the running statistics of g.0, g.1, g.2 are not finite"
    for layer in part[:8]:
        layer.running_mean.fill_(float("nan"))  # type: ignore[operator, union-attr]
    assert examine({"g": part}).problem == (
        "the running statistics of g.0, g.1, g.2, g.3, g.4 and 3 more are not finite"
    )


def test_keys_with_values_that_are_not_finite_are_listed() -> None:
    values = {"a": torch.ones(2), "b": torch.tensor([1.0, float("inf")]), "count": torch.tensor(3)}
    assert list_not_finite(values) == "b" and list_not_finite({"a": values["a"]}) == ""
