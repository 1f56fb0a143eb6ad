"""Every other architecture, through the library spandrel where it is installed."""

import importlib
import importlib.util
from typing import Any

import torch
from torch import Tensor, nn

from img2img.errors import CheckpointError
from img2img.exchange.foreign.family import Built, Options, State, parameters
from img2img.exchange.foreign.fourier import with_products
from img2img.exchange.foreign.upscalers import Grey

EXTRA = "img2img[import]"


def installed() -> bool:
    return importlib.util.find_spec("spandrel") is not None


def build(state: State, options: Options) -> Built | None:
    """The network that spandrel takes `state` for, or None where it knows none.

    Raises:
        CheckpointError: spandrel cannot fill it, or the network cannot meet contract 1.
    """
    spandrel: Any = importlib.import_module("spandrel")
    try:
        found = spandrel.MAIN_REGISTRY.load(_generator(state))
    except spandrel.UnsupportedModelError:
        return None
    except Exception as error:  # its architectures read hyper-parameters off the keys, and fail in their own ways
        text = " ".join(str(error).split())
        raise CheckpointError(f"cannot be loaded by spandrel: {text[:300]}") from error
    name = found.architecture.name
    sizes = found.size_requirements
    if sizes.square:
        raise CheckpointError(f"{name} works at one square size only; a model file takes any")
    inpaints = found.purpose == "Inpainting"
    if (found.input_channels, found.output_channels) not in ((3, 3), *[(1, 1)] * (not inpaints)):
        raise CheckpointError(
            f"this {name} turns {found.input_channels} channels into {found.output_channels};"
            " a model file takes and gives RGB"
        )
    network = _settled(with_products(found.model).requires_grad_(False).float().eval())
    face: nn.Module = Filled(network) if inpaints else Called(network)
    if found.input_channels == 1:
        face = Grey(face)
    tasks = {"SR": "upscale", "FaceSR": "upscale", "Restoration": "translate", "Inpainting": "inpaint"}
    facts = {
        "task": tasks[found.purpose] if found.scale == 1 or inpaints else "upscale",
        "method": f"{name}, imported by spandrel",
        "scale": found.scale,
        "multiple": sizes.multiple_of,
        "minimum": max(sizes.minimum, sizes.multiple_of),
        "parameters": parameters(network),
    }
    whole = any(type(one).__name__ == "FourierUnit" for one in network.modules())
    notes = ["--norm-mode changes nothing here"] if options.norm_mode else []
    return Built(network=face, facts=facts, reach=None if whole else "measured", notes=notes)


class Called(nn.Module):
    """A network of one picture; of several results it gives the first."""

    def __init__(self, network: nn.Module) -> None:
        super().__init__()
        self.network = network

    def forward(self, image: Tensor) -> Tensor:
        result = self.network(image)
        first: Tensor = result[0] if isinstance(result, tuple | list) else result
        return first


class Filled(nn.Module):
    """A network of (picture 0..1, mask) with what is known pasted over its result."""

    def __init__(self, network: nn.Module) -> None:
        super().__init__()
        self.network = network

    def forward(self, image: Tensor, mask: Tensor) -> Tensor:
        mask = (mask > 0.5).float()
        filled: Tensor = self.network(image * (1 - mask), mask)
        return torch.clamp(filled, 0, 1) * mask + image * (1 - mask)


def _settled(network: nn.Module) -> nn.Module:
    """`network` with its reparameterised convolutions folded for good.

    Those of SPAN fold themselves at every call, by exchanging a weight, and the exporter crashes over that.
    """
    for module in network.modules():
        if callable(fold := getattr(module, "update_params", None)):
            fold()
            object.__setattr__(module, "update_params", _nothing)
    return network


def _nothing() -> None:
    pass


def _generator(state: State) -> State:
    """Without the discriminators and perceptual networks that LaMa's own checkpoints hold as well."""
    own = {key: value for key, value in state.items() if key.startswith("generator.")}
    return own or dict(state)
