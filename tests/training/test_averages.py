import torch
from torch import nn

from img2img.training.averages import Average


def test_an_average_starts_with_the_first_weights_and_warms_up_to_its_decay() -> None:
    network = nn.BatchNorm1d(1)
    average = Average(network, 0.5)
    with torch.no_grad():
        network.weight.fill_(3.0)
    average.update(network)
    assert average.module.weight.item() == 3
    for _ in range(40):
        average.update(network)
    with torch.no_grad():
        network.weight.fill_(5.0)
        network.running_mean.fill_(7.0)
    average.update(network)
    assert average.module.weight.item() == 4, "half of the old value is kept"
    assert average.module.running_mean.item() == 7, "buffers are copied"
    assert not average.module.weight.requires_grad
