"""Import all other architectures with the library spandrel, if it is installed."""

import contextlib
import importlib
import importlib.util
from typing import Any

import torch
from torch import Tensor, nn

from img2img.errors import CheckpointError
from img2img.exchange.importers.family import BuiltNetwork, Options, State, parameter_count
from img2img.exchange.importers.fourier import replace_fourier_units
from img2img.exchange.luma import LumaWrapper

EXTRA = "img2img[import]"

TASKS = {"SR": "upscale", "FaceSR": "upscale", "Restoration": "translate", "Inpainting": "inpaint"}
"""Purpose in spandrel -> our task."""


def installed() -> bool:
    """Whether spandrel is installed."""
    return importlib.util.find_spec("spandrel") is not None


def detects(state: State) -> bool:
    """Whether spandrel knows the architecture of `state`. spandrel must be installed."""
    spandrel: Any = importlib.import_module("spandrel")
    for one in spandrel.MAIN_REGISTRY:
        with contextlib.suppress(ArithmeticError, LookupError, RuntimeError, TypeError, ValueError):  # odd shapes
            if one.detect(state):
                return True
    return False


def build(state: State, options: Options) -> BuiltNetwork | None:
    """The network that spandrel detects for `state`; None if it detects none.

    Raises:
        CheckpointError: spandrel cannot load `state` into the network, or the network cannot become a model file.
    """
    spandrel: Any = importlib.import_module("spandrel")
    try:
        found = spandrel.MAIN_REGISTRY.load(_generator(state))
    except spandrel.UnsupportedModelError:
        return None
    except Exception as error:  # each architecture reads hyper-parameters from the keys and fails in its own way
        text = " ".join(str(error).split())
        raise CheckpointError(f"cannot be loaded by spandrel: {text[:300]}") from error
    name = found.architecture.name
    sizes = found.size_requirements
    if sizes.square:
        raise CheckpointError(f"{name} works at one square size only; a model file must accept any size")
    is_inpainter = found.purpose == "Inpainting"
    channels = (found.input_channels, found.output_channels)
    is_grey = channels == (1, 1) and not is_inpainter
    if channels != (3, 3) and not is_grey:
        raise CheckpointError(
            f"this {name} turns {channels[0]} channels into {channels[1]}; a model file takes and returns RGB"
        )
    network = _with_folded_convolutions(replace_fourier_units(found.model).requires_grad_(False).float().eval())
    wrapped: nn.Module = FilledHole(network) if is_inpainter else FirstResult(network)
    if is_grey:
        wrapped = LumaWrapper(wrapped, found.scale)
    facts = {
        "task": TASKS[found.purpose] if found.scale == 1 or is_inpainter else "upscale",
        "method": f"{name}, imported by spandrel",
        "scale": found.scale,
        "multiple": sizes.multiple_of,
        "minimum": max(sizes.minimum, sizes.multiple_of),
        "parameters": parameter_count(network),
    }
    sees_whole_picture = any(type(module).__name__ == "FourierUnit" for module in network.modules())
    return BuiltNetwork(
        network=wrapped,
        architecture=name,
        facts=facts,
        context=None if sees_whole_picture else "measured",
        notes=["--norm-mode has no effect here"] if options.norm_mode else [],
    )


class FirstResult(nn.Module):
    """A network that takes a picture. If it returns several results, only the first is returned."""

    def __init__(self, network: nn.Module) -> None:
        super().__init__()
        self.network = network

    def forward(self, image: Tensor) -> Tensor:
        result = self.network(image)
        first: Tensor = result[0] if isinstance(result, tuple | list) else result
        return first


class FilledHole(nn.Module):
    """A network that takes (picture 0..1, mask). Its result is used inside the mask, the picture outside."""

    def __init__(self, network: nn.Module) -> None:
        super().__init__()
        self.network = network

    def forward(self, image: Tensor, mask: Tensor) -> Tensor:
        mask = (mask > 0.5).float()
        filled: Tensor = self.network(image * (1 - mask), mask)
        return torch.clamp(filled, 0, 1) * mask + image * (1 - mask)


def _with_folded_convolutions(network: nn.Module) -> nn.Module:
    """Fold the reparameterised convolutions of `network` once and for all.

    SPAN folds them at every call by replacing a weight, and this crashes the exporter.
    """
    for module in network.modules():
        if callable(fold := getattr(module, "update_params", None)):
            fold()
            object.__setattr__(module, "update_params", _do_nothing)
    return network


def _do_nothing() -> None:
    pass


def _generator(state: State) -> State:
    """`state` without the discriminator and the perceptual network that LaMa's own checkpoints also contain."""
    own = {key: value for key, value in state.items() if key.startswith("generator.")}
    return own or dict(state)
