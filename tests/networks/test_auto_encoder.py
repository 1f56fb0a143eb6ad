"""The auto-encoder of energy-based GANs: the energy of a picture."""

import pytest
import torch

from img2img import networks


def test_energy_is_the_mean_reconstruction_error() -> None:
    image = torch.rand(3, 3, 12, 10) * 2 - 1
    for error, p in (("l1", 1), ("l2", 2)):
        network = networks.build("auto-encoder", features=4, error=error).eval()
        with torch.no_grad():
            differences = network.reconstruct(image) - image
            energy = network(image)
            assert network.encode(image).shape == (3, 16, 2, 2)
        for i in range(3):
            assert energy[i].item() == pytest.approx(differences[i].abs().pow(p).mean().item(), rel=1e-5)


def test_training_lowers_the_energy_of_seen_pictures() -> None:
    torch.manual_seed(0)
    network = networks.build("auto-encoder", features=8, downs=2, bottleneck=2)
    ramp = torch.linspace(-1, 1, 16)
    smooth = torch.stack([ramp.expand(3, 16, 16) * s for s in (-1.0, -0.5, 0.5, 1.0)])
    optimiser = torch.optim.Adam(network.parameters(), 2e-3)
    for _ in range(60):
        optimiser.zero_grad()
        network(smooth).mean().backward()
        optimiser.step()
    noise = torch.rand(4, 3, 16, 16) * 2 - 1
    assert network(smooth).mean() < 0.5 * network(noise).mean()
