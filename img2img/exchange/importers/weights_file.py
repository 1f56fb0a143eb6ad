"""Read third-party weights files (.pth, .pt, .ckpt, .safetensors) into state dicts, without executing anything."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from safetensors import SafetensorError, safe_open
from torch import Tensor

from img2img.errors import CheckpointError, UsageError
from img2img.exchange.importers import parts, pth_file
from img2img.exchange.importers.pickled_values import TensorDescription
from img2img.exchange.listing import first_names, shortened


@dataclass(frozen=True)
class Weights:
    """A state dict; its floating-point tensors are float32.

    Attributes:
        wrappers: the names that lead to the state dict in the file, outermost first.
        averaged: the weights are a moving average of other weights, by these names.
    """

    state: dict[str, Tensor]
    wrappers: tuple[str, ...] = ()
    averaged: bool = False


def read(path: Path, part: str | None = None) -> Weights:
    """The generator in a torch file (zip or the older format) or a safetensors file, whatever its ending.

    Looks through dictionaries and prefixes, leaves out discriminators, and converts half and double precision to
    float32. If no generator is known, returns the weights that the file seems to be about.

    Args:
        part: the name of one of several generators; None: there is only one.

    Raises:
        CheckpointError: the file does not exist, is damaged, claims more numbers than it has bytes for, holds more
            than weights (nothing of it is executed), or holds no state dict.
        UsageError: see `parts.choose`.
    """
    chosen: list[parts.Part] = []

    def choose(shapes: Mapping[str, Sequence[int]], containers: frozenset[str] = frozenset()) -> dict[str, str]:
        chosen.append(parts.choose(shapes, containers, part))
        return chosen[0].names

    state = _read(path, choose)
    return Weights(state, chosen[0].wrappers, chosen[0].averaged)


def read_all(path: Path) -> dict[str, Tensor]:
    """All tensors in a weights file, by their names in the file. Raises CheckpointError, see `read`."""
    return _read(path, lambda shapes, *_: {name: name for name in shapes})


Choose = Callable[..., dict[str, str]]
"""Takes the shapes of all tensors by name, and the names of the dictionaries in the file; returns the names to read."""


def _read(path: Path, choose: Choose) -> dict[str, Tensor]:
    try:
        if not path.is_file() and path.exists():
            raise CheckpointError("is no file of weights")
        with path.open("rb") as file:
            start = file.read(9)
        return _as_float32(_read_safetensors(path, choose) if start[8:9] == b"{" else _read_torch(path, choose))
    except OSError as error:
        raise CheckpointError(f"{path}: cannot be read ({error.strerror or error})", path=path) from error
    except (CheckpointError, UsageError) as error:
        raise type(error)(f"{path}: {error}", path=path, hint=error.hint) from error


def _read_safetensors(path: Path, choose: Choose) -> dict[str, Tensor]:
    try:  # the library compares the header with the size of the file before it reads a tensor
        with safe_open(path, "pt") as file:
            names = choose({name: file.get_slice(name).get_shape() for name in file.keys()})  # noqa: SIM118, no mapping
            return {key: file.get_tensor(name) for key, name in names.items()}
    except (OSError, SafetensorError) as error:
        raise CheckpointError(f"is damaged or cut short ({shortened(str(error))})") from error


def _read_torch(path: Path, choose: Choose) -> dict[str, Tensor]:
    def pick(content: Any) -> dict[str, TensorDescription]:
        if not isinstance(content, Mapping | list | tuple):
            raise CheckpointError(f"holds no state dict of tensors, but {shortened(type(content).__name__)}")
        leaves, containers = parts.flatten(content)
        tensors = {key: one for key, one in leaves.items() if isinstance(one, TensorDescription)}
        names = choose({key: one.size for key, one in tensors.items()}, containers)
        return {key: tensors[name] for key, name in names.items()}

    return pth_file.load(path, pick)


def _as_float32(state: dict[str, Tensor]) -> dict[str, Tensor]:
    if complex_keys := [key for key, value in state.items() if value.is_complex()]:
        raise CheckpointError(f"has complex numbers in {first_names(complex_keys)}")
    return {key: value.float() if value.is_floating_point() else value for key, value in state.items()}
