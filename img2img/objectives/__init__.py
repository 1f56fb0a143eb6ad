"""Loss terms. Each is a word of the config with a weight of its own: `objectives = {l1 = 1.0}`."""

from typing import Any

from torch import nn

from img2img.lookup import lookup

RECONSTRUCTION = {
    "l1": "img2img.objectives.reconstruction:L1",
    "l2": "img2img.objectives.reconstruction:L2",
    "charbonnier": "img2img.objectives.reconstruction:Charbonnier",
    "frequency": "img2img.objectives.reconstruction:Frequency",
}


def build(name: str, **options: Any) -> nn.Module:
    """The objective called `name`: a module that takes (result, truth) and returns a scalar.

    Raises:
        ConfigError: there is no such objective; the message lists those that exist.
    """
    objective: nn.Module = lookup("objective", RECONSTRUCTION, name)(**options)
    return objective
